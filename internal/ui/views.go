package ui

import "slices"

// A view is a template, and samples of what it may have to show: one with everything and, where templates may branch, one with
// as little as possible. Lists in them are never empty: templates may rely on that.
type view struct {
	template string // the name of its file
	samples  func(base page) []sample
}

// A sample is what a page may have to show, made up.
type sample struct {
	name string // a few words in small letters, which tell it from the page's other samples
	data any
}

// sampleMessage is one of the messages that a room may have a page say. Pages have no texts of their own in samples, so that
// all they say is translated.
const sampleMessage = "Too many failed attempts. Wait 30 seconds, then try again."

// views are all views, for what concerns every page. A page can't be rendered without its view, so none is forgotten here.
var views []*view

// declare returns the view of a page. It stands beside the page's type.
func declare(template string, samples func(base page) []sample) *view {
	v := &view{template: template, samples: samples}
	views = append(views, v)
	return v
}

// checkPages renders every page, so that a template that uses a field its page doesn't have is found at start rather than
// by the next person to log in.
func (u *UI) checkPages() error {
	base := u.samplePage()
	once := base
	once.back = "" // as after a post
	for _, v := range views {
		for _, s := range slices.Concat(v.samples(base), v.samples(once)) {
			if _, err := u.executeSample(v, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// samplePage returns what every template gets, for samples.
func (u *UI) samplePage() page {
	return page{
		ReqPath: u.cfg.IssuerPath + "/auth/sample", Title: "Sample",
		ui: u, lang: u.cfg.Languages.Choose(), back: u.cfg.IssuerPath + "/auth/sample",
	}
}
