package ui_test

import (
	"testing"

	"dex/internal/faulttest"
	"dex/internal/ui"
)

// The operator's pages silently lost their styles, scripts and fonts under the default policy.
var _ = faulttest.Add("N4", func(t *testing.T) {
	const page, style = "templates/oob.html", "static/own.css"
	for name, test := range map[string]struct {
		file, text string
		want       string // empty if nothing is blocked
	}{
		"inline style":          {page, `<style>p{color:red}</style>`, "style-src 'unsafe-inline'"},
		"style attribute":       {page, `<p style="color:red">x</p>`, "style-src 'unsafe-inline'"},
		"inline script":         {page, `<script>alert(1 < 2)</script>`, "script-src 'unsafe-inline'"},
		"inline module":         {page, `<script type="module">f()</script>`, "script-src 'unsafe-inline'"},
		"handler":               {page, `<body onload="f()">`, "script-src 'unsafe-inline'"},
		"script as link":        {page, `<a href="javascript:history.back()">back</a>`, "script-src 'unsafe-inline'"},
		"another host's script": {page, `<script src="https://cdn.example/x.js"></script>`, "script-src https://cdn.example"},
		"no scheme":             {page, `<script src="//cdn.example/x.js"></script>`, "script-src https://cdn.example"},
		"another host's style":  {page, `<link href="https://cdn.example/x.css" rel="Stylesheet">`, "style-src https://cdn.example"},
		"image over HTTP":       {page, `<img src="http://cdn.example/x.png">`, "img-src http://cdn.example"},
		"frame of ours":         {page, `<iframe src="static/x.html"></iframe>`, "frame-src 'self'"},
		"manifest":              {page, `<link rel="manifest" href="static/m.json">`, "manifest-src 'self'"},
		"video":                 {page, `<video><source src="static/x.mp4"></video>`, "media-src 'self'"},
		"base":                  {page, `<base href="/dex/">`, "base-uri 'self'"},
		"in an action":          {page, `<script src="{{ url .ReqPath "https://cdn.example/x.js" }}"></script>`, "script-src https://cdn.example"},
		"in a branch":           {page, `{{ if .Code }}<p>x</p>{{ else }}<p style="">x</p>{{ end }}`, "style-src 'unsafe-inline'"},
		"font in a style": {
			page, `<style>@font-face { src: url(https://fonts.example/a.woff2) }</style>`,
			"font-src https://fonts.example; style-src 'unsafe-inline'",
		},
		"several": {
			page, `<link rel=stylesheet href=https://b.example/x.css><link rel=stylesheet href=https://a.example/x.css>` +
				`<p style="a">x</p><p style="b">x</p>`,
			"style-src 'unsafe-inline' https://a.example https://b.example",
		},
		"partial":        {"templates/header.html", `<style>p{}</style>`, "style-src 'unsafe-inline'"},
		"imported style": {style, `@import url("https://fonts.example/css?family=A;B") screen;`, "style-src https://fonts.example"},
		"imported text":  {style, `@import 'https://fonts.example/css';`, "style-src https://fonts.example"},
		"font":           {style, `@font-face { font-family: A; src: url('https://fonts.example/a.woff2') }`, "font-src https://fonts.example"},
		"font as data":   {style, `@font-face{src:url(data:font/woff2;base64,AAAA)}`, "font-src data:"},
		"image in style": {style, `p { background: url(http://cdn.example/x.png) }`, "img-src http://cdn.example"},
		"theme":          {"themes/acme/styles.css", `@import "https://fonts.example/css"`, "style-src https://fonts.example"},

		"what is permitted": {
			page, `<link rel="stylesheet" href="{{ url .ReqPath "static/main.css" }}"><script src="{{ asset "static/x.js" }}"></script>` +
				`<img src="https://cdn.example/x.png"><img src="data:image/png;base64,AAAA"><a href="https://example.com">x</a>` +
				`<script src="https://dex.example/dex/static/x.js"></script><form action="https://app.example"></form>`, "",
		},
		"data for scripts":       {page, `<script type="application/json">{}</script>`, ""},
		"a comment":              {page, `<!-- <style>p{}</style> --><p>x</p>`, ""},
		"a template's comment":   {page, `{{/* <style>p{}</style> */}}<p>x</p>`, ""},
		"a page that isn't ours": {"templates/other.html", `<script>f()</script>`, ""},
		"another theme":          {"themes/other/styles.css", `@import "https://fonts.example/css"`, ""},
		"style of ours": {
			style, `/* url(http://x.example) */ @import "x.css"; p { background: url(img/x.svg) } b { background: url("data:image/gif;base64,A") }`, "",
		},
	} {
		dir := webDir(t, map[string]string{test.file: test.text, "themes/acme/x.css": ""})
		u, _ := newUI(t, ui.Config{Dir: dir, Theme: "acme", IssuerPath: "/dex", Origin: "https://dex.example"})
		needs := u.PolicyNeeds()
		switch {
		case test.want == "" && len(needs) > 0:
			t.Errorf("%s: %v", name, needs)
		case test.want != "" && (len(needs) != 1 || needs[0] != ui.PolicyNeed{File: test.file, Directives: test.want}):
			t.Errorf("%s: %v, want %s", name, needs, test.want)
		}
	}

	u, _ := newUI(t, ui.Config{})
	if needs := u.PolicyNeeds(); needs != nil {
		t.Errorf("our own pages: %v", needs)
	}
	u, _ = newUI(t, ui.Config{LogoURL: "http://cdn.example/logo.png"})
	if needs := u.PolicyNeeds(); len(needs) != 1 || needs[0] != (ui.PolicyNeed{File: ui.LogoKey, Directives: "img-src http://cdn.example"}) {
		t.Errorf("the logo: %v", needs)
	}
})
