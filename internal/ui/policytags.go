package ui

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// loads are the attributes that make elements load something, and the directives that apply.
var loads = map[string]map[string]string{
	"img":    {"src": "img-src"},
	"input":  {"src": "img-src"},
	"image":  {"href": "img-src", "xlink:href": "img-src"},
	"video":  {"src": "media-src", "poster": "img-src"},
	"audio":  {"src": "media-src"},
	"source": {"src": "media-src"},
	"track":  {"src": "media-src"},
	"iframe": {"src": "frame-src"},
	"frame":  {"src": "frame-src"},
	"embed":  {"src": "object-src"},
	"object": {"data": "object-src"},
	"base":   {"href": "base-uri"},
}

// links are the directives for the rel values of the link element.
var links = map[string]string{"stylesheet": "style-src", "icon": "img-src", "manifest": "manifest-src"}

// tag looks at what an element loads, and at inline code in its attributes.
func (p *policyFinder) tag(file string, tag html.Token) {
	attributes := make(map[string]string, len(tag.Attr))
	for _, a := range tag.Attr {
		attributes[a.Key] = a.Val
		// Frames that a page knows are those of frontchannel.go, which allows them.
		if directive := loads[tag.Data][a.Key]; directive != "" && (directive != "frame-src" || a.Val != someLink) {
			p.link(file, directive, a.Val)
		}
		switch {
		case a.Key == "style":
			p.add(file, "style-src", inline)
			p.style(file, a.Val)
		case isHandler(a.Key), isScript(a.Val) && isLink(a.Key):
			p.add(file, "script-src", inline)
		}
	}
	switch tag.Data {
	case "style":
		p.add(file, "style-src", inline)
	case "script":
		p.script(file, attributes)
	case "link":
		for _, relation := range strings.Fields(strings.ToLower(attributes["rel"])) {
			if directive := links[relation]; directive != "" {
				p.link(file, directive, attributes["href"])
			}
		}
	}
}

// isHandler reports whether an attribute is an event handler.
func isHandler(attribute string) bool {
	return strings.HasPrefix(attribute, "on") && len(attribute) > 2
}

func isLink(attribute string) bool {
	return attribute == "href" || attribute == "action" || attribute == "formaction"
}

// script looks at a script element; data blocks, such as application/json, are not run.
func (p *policyFinder) script(file string, attributes map[string]string) {
	if src, ok := attributes["src"]; ok {
		p.link(file, "script-src", src)
		return
	}
	kind := strings.ToLower(attributes["type"])
	if kind == "" || kind == "module" || kind == "importmap" || strings.Contains(kind, "javascript") {
		p.add(file, "script-src", inline)
	}
}

// What style sheets load. CSS could be written to fool these patterns, but operators have no reason to.
var (
	styleComment = regexp.MustCompile(`(?s)/\*.*?\*/`)
	styleImport  = regexp.MustCompile(`(?i)@import\s+(?:url\()?\s*["']?([^"')\s;]+)[^;]*;?`)
	styleFont    = regexp.MustCompile(`(?is)@font-face\s*\{[^}]*\}`)
	styleLink    = regexp.MustCompile(`(?i)url\(\s*["']?([^"')\s]+)`)
)

// style looks at a style sheet.
func (p *policyFinder) style(file, text string) {
	text = styleComment.ReplaceAllString(text, "")
	for _, found := range styleImport.FindAllStringSubmatch(text, -1) {
		p.link(file, "style-src", found[1])
	}
	text = styleImport.ReplaceAllString(text, "")
	for _, font := range styleFont.FindAllString(text, -1) {
		for _, found := range styleLink.FindAllStringSubmatch(font, -1) {
			p.link(file, "font-src", found[1])
		}
	}
	text = styleFont.ReplaceAllString(text, "")
	for _, found := range styleLink.FindAllStringSubmatch(text, -1) {
		p.link(file, "img-src", found[1])
	}
}
