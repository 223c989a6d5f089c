package ui

import (
	"html/template"
	"net/http"
	"slices"
	"strings"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"dex/internal/locale"
)

// A LoginPage offers the connectors to choose from.
type LoginPage struct {
	Connectors []ConnectorLink // in the order shown
	Client     string          // display name of the application; may be empty

	Search *ChoiceForm // looks for a connector by its name; nil where there are few
	Email  *ChoiceForm // asks for an e-mail address, whose domain may lead to a connector; nil where none has domains
	// NoAddress says that what was typed into Email is no address, and UnknownDomain is its domain if that leads nowhere.
	NoAddress     bool
	UnknownDomain string
	Form          *PasswordPage // of the connector whose link has the mark HasForm; nil for none
}

// A ConnectorLink is one way to log in.
type ConnectorLink struct {
	ID   string
	Name string // display name
	URL  string // where choosing it leads
	Type string // picks the icon

	Failing  bool   // it failed its last probe; it may have recovered since
	LogoURL  string // shown instead of the icon of the type; empty for that
	LastUsed bool   // by this browser
	HasForm  bool   // its form is on the page
	Unlike   bool   // it is not what was searched for
}

// Letter stands for the logo of a connector where that can't be loaded.
func (c ConnectorLink) Letter() string {
	for _, r := range c.Name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	first, _ := utf8.DecodeRuneInString(c.Name)
	return string(first)
}

// A ChoiceForm asks for the same page again, with one more parameter.
type ChoiceForm struct {
	Action string      // path of the page
	Fields []FormField // the request, repeated
	Name   string      // of the parameter
	Value  string      // what was typed last
}

// Login shows the choice of connectors.
func (u *UI) Login(w http.ResponseWriter, r *http.Request, p LoginPage) {
	u.render(w, r, http.StatusOK, loginView, newLoginData(u.newPage(r, "Log in"), p))
}

var loginView = declare("login.html", func(base page) []sample {
	connectors := []ConnectorLink{
		{ID: "ldap", Name: "Company directory", URL: base.ReqPath + "?state=1", Type: "ldap"},
		{ID: "local", Name: "Email", URL: base.ReqPath + "?state=2", Type: "local"},
		{ID: "partner", Name: "Partner", URL: base.ReqPath + "?state=3", Type: "oidc", LogoURL: "static/img/oidc-icon.svg", Failing: true},
	}
	withForm, lastUsed := slices.Clone(connectors), slices.Clone(connectors)
	withForm[1].HasForm, withForm[2].LastUsed = true, true
	lastUsed[0].LastUsed = true
	form := &PasswordPage{PostURL: "/auth/local/login?state=1", UsernamePrompt: "Email Address", Client: "Wiki", ShowRememberMe: true, RememberMeChecked: true}
	again := func(typed string) *ChoiceForm {
		return &ChoiceForm{Action: base.ReqPath, Fields: []FormField{{Name: "state", Value: "1"}}, Name: "typed", Value: typed}
	}
	none := slices.Clone(connectors)
	for i := range none {
		none[i].Unlike = true
	}
	return []sample{
		{"one of three fails", newLoginData(base, LoginPage{Connectors: lastUsed, Client: "Wiki"})},
		{"one way to log in", newLoginData(base, LoginPage{Connectors: connectors[:1]})},
		{"with a form", newLoginData(base, LoginPage{Connectors: withForm, Client: "Wiki", Form: form})},
		{"with a search", newLoginData(base, LoginPage{Connectors: connectors, Client: "Wiki", Search: again("")})},
		{"nothing found", newLoginData(base, LoginPage{Connectors: none, Client: "Wiki", Search: again("xyz")})},
		{"with an email address", newLoginData(base, LoginPage{Connectors: connectors, Client: "Wiki", Email: again("")})},
		{"no email address", newLoginData(base, LoginPage{Connectors: connectors, Email: again("jane"), NoAddress: true})},
		{"unknown domain", newLoginData(base, LoginPage{
			Connectors: withForm, Client: "Wiki", Form: form, Email: again("jane@example.com"), UnknownDomain: "example.com",
		})},
	}
})

type loginData struct {
	page
	LoginPage
	// First are the connectors that are shown above the form, and Rest all others but the one that the form is of.
	First, Rest []pageLink
	FormLink    ConnectorLink
	Form        *passwordData
	NoneAlike   bool // no connector is what was searched for
}

// A pageLink is a connector, and the page that it is on.
type pageLink struct {
	Page  *page
	Link  *ConnectorLink
	Label template.HTML // what the link says; made here, as templates take longer for it
}

func newPageLink(page *page, link *ConnectorLink) pageLink {
	return pageLink{Page: page, Link: link, Label: page.T("Log in with {connector}", link.Name)}
}

func newLoginData(base page, p LoginPage) loginData {
	tidy(&p.Client)
	p.Connectors = slices.Clone(p.Connectors) // leave the caller's alone
	d := loginData{page: base, LoginPage: p, NoneAlike: p.Search != nil}
	for i := range p.Connectors {
		link := &p.Connectors[i]
		tidy(&link.Name)
		d.NoneAlike = d.NoneAlike && link.Unlike
		switch {
		case p.Form != nil && link.HasForm:
			d.FormLink = *link
		case p.Form != nil && link.LastUsed:
			d.First = append(d.First, newPageLink(&base, link))
		default:
			d.Rest = append(d.Rest, newPageLink(&base, link))
		}
	}
	if p.Form != nil {
		form := newPasswordData(base, *p.Form)
		form.Focus = len(d.First) == 0
		d.Form = &form
	}
	return d
}

// ShowsForms reports whether the page that offers the connectors shows the form of one, as the built-in one does.
func (u *UI) ShowsForms() bool { return u.showsForms }

// ShowsEmail reports whether that page asks for an e-mail address, as the built-in one does.
func (u *UI) ShowsEmail() bool { return u.showsEmail }

// usesField reports whether a template uses a field of its page. The template must not have been executed yet.
func (u *UI) usesField(name, field string) bool {
	t, uses := u.templates.Lookup(name), false
	if t == nil {
		return false
	}
	inspect(t.Tree, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.FieldNode:
			uses = uses || n.Ident[0] == field
		case *parse.VariableNode:
			uses = uses || len(n.Ident) > 1 && n.Ident[0] == "$" && n.Ident[1] == field
		}
	})
	return uses
}

// LanguageOf returns the language in which a request is answered.
func (u *UI) LanguageOf(r *http.Request) *locale.Language { return u.language(r) }

// LanguageFor returns the language for wishes in the form of the header Accept-Language; the configuration's without any.
func (u *UI) LanguageFor(wishes string) *locale.Language { return u.cfg.Languages.Choose(wishes) }

// IssuerName returns the display name of this service.
func (u *UI) IssuerName() string { return u.cfg.Issuer }

// HasLogo reports whether a logo is there: a file below static/ or theme/. Whether a URL leads to one is not known.
func (u *UI) HasLogo(link string) bool {
	link, _, _ = strings.Cut(link, "?")
	set, name, ok := u.assetFile(link)
	return !ok || set.exists(name)
}
