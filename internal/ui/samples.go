package ui

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// A Sample is a page with made-up contents, for previews.
type Sample struct {
	Template string // the name of its file
	Name     string // a few words in small letters, which tell it from the page's other samples
	Own      bool   // whether the template is the operator's
	Later    bool   // whether no visitor gets to see the page yet
}

// Samples returns the samples of all pages, by the name of their template.
func (u *UI) Samples() []Sample {
	var found []Sample
	for _, v := range views {
		for _, s := range v.samples(u.samplePage()) {
			found = append(found, Sample{
				Template: v.template, Name: s.name, Later: v.later,
				Own: u.dir.customised(path.Join(templatesDir, v.template)),
			})
		}
	}
	slices.SortStableFunc(found, func(a, b Sample) int { return strings.Compare(a.Template, b.Template) })
	return found
}

// RenderSample returns a page with made-up contents, as the answer to a request. It is nil if there is no such sample.
func (u *UI) RenderSample(r *http.Request, template, name string) ([]byte, error) {
	base := u.newPage(r, "")
	base.Title = template
	for _, v := range views {
		if v.template != template {
			continue
		}
		for _, s := range v.samples(base) {
			if s.name == name {
				return u.executeSample(v, s)
			}
		}
	}
	return nil, nil
}

func (u *UI) executeSample(v *view, s sample) ([]byte, error) {
	body, err := u.execute(v, s.data)
	if err != nil {
		return nil, u.suggestName(err, s.data)
	}
	return body, nil
}

// Themes returns the names of all themes, and of the one that is used.
func (u *UI) Themes() (names []string, used string, err error) {
	names, err = u.dir.themes()
	if err != nil {
		return nil, "", fmt.Errorf("list the themes: %w", err)
	}
	return names, u.dir.theme, nil
}
