package login

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/page"
	"dex/internal/ui"
)

// What users say on the choice of connectors comes as parameters of the page itself. Neither applications nor sources ever see
// them, as links and forms repeat only the parameters of the request.
const (
	paramEmail  = "dex_email"  // an e-mail address, which may lead to a connector
	paramSearch = "dex_search" // a part of a connector's name
	paramChoose = "dex_choose" // set where the user has asked for the choice
)

const (
	// manyConnectors is from how many connectors on the choice has a search field.
	manyConnectors = 8
	// longestEmail is how long an e-mail address may be (RFC 5321, section 4.5.3.1.3, without the brackets), in bytes.
	longestEmail = 254
	// longestSearch bounds what is searched for, in bytes.
	longestSearch = 400
)

// said is what the user has said on the choice of connectors.
type said struct {
	email, search string
	choosing      bool // the user has asked for the choice
}

func readSaid(r *http.Request) said {
	query := r.URL.Query()
	s := said{
		email: strings.TrimSpace(query.Get(paramEmail)), search: query.Get(paramSearch), choosing: query.Has(paramChoose),
	}
	if len(s.search) > longestSearch {
		s.search = ""
	}
	if len(s.email) > longestEmail {
		s.email = s.email[:longestEmail] // no address any more, and shown as such
		s.email = strings.ToValidUTF8(strings.ReplaceAll(s.email, "@", ""), "")
	}
	return s
}

// says notes the e-mail address that the user has said on the way to a connector, which the connector is told.
func (v *visit) says(email string) { v.Hint, v.ask.LoginHint = email, email }

// asksEmail reports whether the choice begins with the question for an e-mail address.
func (f *Flow) asksEmail(choice []*federation.Definition) bool {
	return f.page.ShowsEmail() && len(choice) > 1 && slices.ContainsFunc(choice, func(d *federation.Definition) bool { return len(d.Domains) > 0 })
}

// byDomain returns which of the connectors the domain of the user's e-mail address leads to: of the one that they have typed, or of
// the one that the application knows, unless one of them asks for the choice. It is -1 for none. No source is asked, so it says
// nothing about whether there is such an account.
func byDomain(v *visit, s said, choice []*federation.Definition) int {
	email := s.email
	if email == "" && !s.choosing && !slices.Contains(v.ask.Prompt, "select_account") {
		email = v.ask.LoginHint
	}
	i := federation.ForDomain(choice, federation.DomainOf(email))
	if i >= 0 {
		v.says(email)
	}
	return i
}

// showChoice shows the page where the user picks one of the offered connectors. Its links repeat the request, so nothing is kept
// yet, unless no address can repeat it, or the page has a password form.
func (f *Flow) showChoice(v *visit, c *client.Client, s said, choice, offered []*federation.Definition) error {
	if err := f.keepRepeatable(v); err != nil {
		return err
	}
	params := f.repeat(v)
	shown := ui.LoginPage{Client: v.clientName(c)}
	if f.asksEmail(choice) {
		f.askEmail(&shown, v, s, params)
	}
	if federation.DomainOf(s.email) != "" {
		params.Set(paramEmail, s.email)
	}
	f.offer(&shown, v, s, params, offered)
	if err := f.offerForm(&shown, v, s, c, offered); err != nil {
		return err
	}
	f.page.Login(v.w, v.r, shown)
	return nil
}

// keepRepeatable keeps a login whose request no address can repeat, so that the links of a page can lead on, and refuses one that
// could not be kept later.
func (f *Flow) keepRepeatable(v *visit) error {
	if v.request.Repeat() != nil {
		return f.keepable(v)
	}
	if v.ID != "" {
		return nil
	}
	v.ID = newID()
	return f.keep(v)
}

// askEmail has the page ask for an e-mail address.
func (f *Flow) askEmail(shown *ui.LoginPage, v *visit, s said, params url.Values) {
	shown.Email = &ui.ChoiceForm{
		Action: f.page.Path("/auth", nil), Fields: page.Fields(params), Name: paramEmail, Value: cmp.Or(s.email, v.ask.LoginHint),
	}
	if s.email == "" {
		return
	}
	if shown.NoAddress = federation.DomainOf(s.email) == ""; !shown.NoAddress {
		shown.UnknownDomain = s.email[strings.LastIndexByte(s.email, '@')+1:]
	}
}

// offer lists the connectors, the one that this browser has used last before the others.
func (f *Flow) offer(shown *ui.LoginPage, v *visit, s said, params url.Values, offered []*federation.Definition) {
	last := f.lastUsed(v.r)
	if len(offered) >= manyConnectors {
		shown.Search = &ui.ChoiceForm{
			Action: f.page.Path("/auth", nil), Fields: page.Fields(params), Name: paramSearch, Value: s.search,
		}
		if s.choosing {
			shown.Search.Fields = append(shown.Search.Fields, ui.FormField{Name: paramChoose, Value: "1"})
		}
	}
	wanted, order := plain(s.search), map[string]int{}
	for _, d := range offered {
		name := f.nameOf(v, d)
		order[d.ID] = d.Order
		shown.Connectors = append(shown.Connectors, ui.ConnectorLink{
			ID: d.ID, Name: name, Type: d.Type, LogoURL: d.LogoURL,
			URL:      f.page.Path(connectorPath(d.ID), params),
			Failing:  f.cfg.Connectors.Failing(d.ID),
			LastUsed: d.ID == last,
			Unlike:   shown.Search != nil && !strings.Contains(plain(name), wanted),
		})
	}
	slices.SortStableFunc(shown.Connectors, func(a, b ui.ConnectorLink) int {
		switch {
		case a.LastUsed != b.LastUsed && a.LastUsed:
			return -1
		case a.LastUsed != b.LastUsed:
			return 1
		}
		return cmp.Or(cmp.Compare(order[a.ID], order[b.ID]), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
}

// plain returns what is compared of a name in a search: no case, no accents.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(connector.FoldName(name)))
}

// nameOf returns the name of a connector in the language of the user.
func (f *Flow) nameOf(v *visit, d *federation.Definition) string {
	language := f.page.LanguageOf(v.r)
	if d.Type == federation.LocalID {
		return language.Say("Email")
	}
	return d.NameIn(language.Tag)
}

// offerForm puts the password form of the only connector that has one onto the page, so that its users need no further page. Where
// users have yet to say their e-mail address, or search for a connector, it would be in the way.
func (f *Flow) offerForm(shown *ui.LoginPage, v *visit, s said, c *client.Client, offered []*federation.Definition) error {
	if !f.formsOnChoice() || shown.Email != nil && shown.UnknownDomain == "" || s.search != "" {
		return nil
	}
	only := onlyForm(offered)
	if only == nil || len(offered) < 2 || f.cfg.Connectors.Failing(only.ID) {
		return nil
	}
	source, err := f.cfg.Connectors.Open(v.r.Context(), only.ID)
	if err != nil {
		return nil //nolint:nilerr // it was logged, and whoever chooses the connector is told
	}
	checker, ok := source.Instance.(connector.Password)
	if !ok {
		return nil
	}
	form := *v // a login of its own: that of the page may begin others
	begun := *v.login
	form.login = &begun
	form.ID, form.ConnectorID = newID(), only.ID
	if email := s.email; shown.UnknownDomain != "" {
		form.says(email)
	}
	if err := f.keep(&form); err != nil {
		return err
	}
	p := f.passwordForm(&form, source, checker, c)
	shown.Form = &p
	for i := range shown.Connectors {
		link := &shown.Connectors[i]
		link.HasForm = link.ID == only.ID
	}
	return nil
}

// onlyForm returns the connector that has a password form; nil if none or several have one.
func onlyForm(offered []*federation.Definition) *federation.Definition {
	var only *federation.Definition
	for _, d := range offered {
		switch {
		case !d.AsksPassword():
		case only != nil:
			return nil
		default:
			only = d
		}
	}
	return only
}

// formsOnChoice reports whether the choice of connectors may have a password form. Where logins are kept in the storage, strangers
// could fill it by asking for the page.
func (f *Flow) formsOnChoice() bool {
	return f.cfg.FormOnChoice && !f.cfg.AlwaysShowChoice && !f.cfg.AnyBrowser && f.page.ShowsForms()
}
