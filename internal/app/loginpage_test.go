package app_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// loginPages is a configuration with connectors and something more.
func loginPages(more string, connectors ...string) string {
	before, rest, _ := strings.Cut(configuration, "connectors:\n")
	_, after, _ := strings.Cut(rest, "staticClients:\n")
	list := ""
	for _, c := range connectors {
		list += "- " + c + "\n"
	}
	return before + "connectors:\n" + list + "staticClients:\n" + after + more
}

// buttons leaves the form of the password database off the page.
const buttons = "frontend: {formOnChoice: false}\n"

func noPasswords(yaml string) string {
	before, rest, _ := strings.Cut(yaml, "enablePasswordDB: true\n")
	_, after, _ := strings.Cut(rest, "connectors:\n")
	return before + "connectors:\n" + after
}

func mocked(id, name, more string) string {
	return fmt.Sprintf("{type: mockCallback, id: %s, name: %q%s}", id, name, more)
}

func formed(id, name, more string) string {
	return fmt.Sprintf("{type: mockPassword, id: %s, name: %q, config: {username: u, password: p}%s}", id, name, more)
}

var (
	wayLink   = regexp.MustCompile(`(?s)<a [^>]*href="(/dex/auth/[^"]*)"[^>]*>(.*?)</a>`)
	listed    = regexp.MustCompile(`(?s)<li class="theme-form-row"( hidden)?>(.*?)</li>`)
	allTags   = regexp.MustCompile(`<[^>]*>`)
	hiddenIn  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	formsHere = regexp.MustCompile(`(?s)<form.*?</form>`)
)

// ways returns what the links to connectors say, in order, and where they lead by that. Rows that a search has hidden are left out.
func (a answer) ways() (names []string, links map[string]string) {
	links = map[string]string{}
	page := listed.ReplaceAllStringFunc(a.body, func(row string) string {
		if strings.HasPrefix(row, `<li class="theme-form-row" hidden`) {
			return ""
		}
		return row
	})
	for _, link := range wayLink.FindAllStringSubmatch(page, -1) {
		text := strings.Join(strings.Fields(html.UnescapeString(allTags.ReplaceAllString(link[2], ""))), " ")
		name, ok := strings.CutPrefix(text, "Log in with ")
		if !ok {
			continue
		}
		names = append(names, name)
		links[name] = html.UnescapeString(link[1])
	}
	return names, links
}

func (a answer) wantWays(want ...string) map[string]string {
	a.t.Helper()
	names, links := a.ways()
	if got := strings.Join(names, " "); got != strings.Join(want, " ") {
		a.t.Errorf("the page offers %q, want %q", names, want)
	}
	return links
}

// fields returns the address that a GET form with a field leads to when something is typed into that.
func (a answer) typed(field, value string) string {
	a.t.Helper()
	for _, f := range formsHere.FindAllString(a.body, -1) {
		if !strings.Contains(f, `name="`+field+`"`) {
			continue
		}
		params := url.Values{field: {value}}
		for _, in := range hiddenIn.FindAllStringSubmatch(f, -1) {
			params.Add(html.UnescapeString(in[1]), html.UnescapeString(in[2]))
		}
		return "/dex/auth?" + params.Encode()
	}
	a.t.Fatalf("the page has no field %s", field)
	return ""
}

func TestOrderOfConnectors(t *testing.T) {
	s := startWith(t, loginPages(buttons, mocked("a", "Aa", ", order: 2"), mocked("b", "bb", ""), mocked("c", "Cc", ", order: -1"), mocked("h", "Hh", ", hidden: true")))
	links := s.get(authPath()).wantStatus(200).wantWays("Cc", "bb", "Email", "Aa")
	if links["Hh"] != "" {
		t.Error("the hidden one is offered")
	}
	for _, path := range []string{authPath("connector_id", "h"), "/dex/auth/h?" + request().Encode()} {
		if to := s.get(path).wantStatus(http.StatusFound).path(); !strings.HasPrefix(to, "/dex/callback?") {
			t.Errorf("the hidden one leads to %s", to)
		}
	}
	t.Run("nobody else", func(t *testing.T) {
		s := startWith(t, noPasswords(loginPages("", mocked("a", "A", ", hidden: true"))))
		s.get(authPath()).wantRedirectError("access_denied")
		s.get(authPath("connector_id", "a")).wantStatus(http.StatusFound)
	})
	t.Run("one that is not hidden is taken", func(t *testing.T) {
		s := startWith(t, noPasswords(loginPages("", mocked("a", "A", ", hidden: true"), formed("b", "B", ""))))
		b := s.browser()
		page := b.visit(b.visit(authPath()).wantStatus(http.StatusFound).path()).wantStatus(200)
		if strings.Contains(page.body, "another way") {
			t.Error("the form leads back to a choice that is none")
		}
	})
}

func TestNamesOfConnectors(t *testing.T) {
	s := startWith(t, loginPages("", mocked("a", "Company", ", names: {en: Firm, de: Firma}"), formed("b", "Zoo", ", names: {en: Aaa}")))
	s.get(authPath()).wantStatus(200).wantWays("Aaa", "Email", "Firm")
	b := s.browser()
	if page := b.visit(b.visit("/dex/auth/b?" + request().Encode()).path()); !strings.Contains(page.body, "with your <bdi>Aaa</bdi> account") {
		t.Error("the form has another name")
	}
}

func TestSearchForConnector(t *testing.T) {
	var connectors []string
	for _, name := range []string{"Alpha", "Beta", "Gamma", "Delta", "Über uns", "Zeta <b>", "Eta"} {
		connectors = append(connectors, mocked("m"+fmt.Sprint(len(connectors)), name, ""))
	}
	s := startWith(t, loginPages(buttons, connectors...))
	few := startWith(t, loginPages(buttons, connectors[:6]...)).get(authPath()).wantStatus(200)
	if strings.Contains(few.body, `name="dex_search"`) {
		t.Error("there is a search field for seven")
	}
	page := s.get(authPath()).wantStatus(200)
	for typed, want := range map[string][]string{
		"ETA": {"Beta", "Eta", "Zeta <b>"}, "uber": {"Über uns"}, "  ÜBER  ": {"Über uns"}, "<b": {"Zeta <b>"}, "nobody": nil,
		strings.Repeat("x", 5000): {"Alpha", "Beta", "Delta", "Email", "Eta", "Gamma", "Zeta <b>", "Über uns"},
	} {
		found := s.get(page.typed("dex_search", typed)).wantStatus(200)
		links := found.wantWays(want...)
		if empty := strings.Contains(found.body, `">No match.`); empty != (len(want) == 0) {
			t.Errorf("%.20s: that it says that nothing is found is %v", typed, empty)
		}
		for _, link := range links {
			if strings.Contains(link, "dex_") || !strings.Contains(link, "state=s+%26%3D%25") {
				t.Errorf("%.20s: the link %s does not repeat the request, and only that", typed, link)
			}
		}
	}
}

// What was used last is not worth an answer that doesn't fit into proxies' buffers.
func TestNoRoomForLastUsedConnector(t *testing.T) {
	s := startWith(t, loginPages("", mocked("a", "A", "")))
	for long, want := range map[int]bool{10: true, 3400: false} {
		b := s.browser()
		consent := b.visit(b.visit("/dex/auth/a?" + request("state", strings.Repeat("x", long)).Encode()).path()).path()
		done := b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
		if got := strings.Contains(strings.Join(done.header.Values("Set-Cookie"), "\n"), "dex_connector="); got != want {
			t.Errorf("with a state of %d bytes, that the connector is remembered is %t", long, got)
		}
	}
}

func TestLastUsedConnector(t *testing.T) {
	connectors := []string{mocked("a", "Aa", ""), mocked("odd/id", "Oo", "")}
	s := startWith(t, strings.Replace(loginPages(buttons, connectors...), "id: odd/id", `id: "odd /;id"`, 1))
	b := s.browser()
	page := b.visit(authPath()).wantStatus(200)
	page.wantWays("Aa", "Email", "Oo")
	if strings.Contains(page.body, "Last used") {
		t.Error("one was used last")
	}
	through := func(b *browser, id string) answer {
		consent := b.visit(b.visit("/dex/auth/" + url.PathEscape(id) + "?" + request().Encode()).wantStatus(302).path()).wantStatus(303).path()
		return b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(303)
	}
	end := through(b, "odd /;id")
	var set *http.Cookie
	for _, c := range (&http.Response{Header: end.header}).Cookies() {
		if c.Name == "dex_connector" {
			set = c
		}
	}
	if set == nil || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode || set.Path != "/dex" || set.MaxAge < 1000000 || set.Secure {
		t.Fatalf("the cookie is %v", set)
	}
	page = b.visit(authPath()).wantStatus(200)
	page.wantWays("Oo", "Aa", "Email")
	page = b.visit(authPath("client_id", "other", "redirect_uri", "https://other.test/cb", "scope", "openid")).wantStatus(200)
	if strings.Count(page.body, "Last used here") != 1 {
		t.Error("it isn't said which was used last")
	}
	through(b, "a")
	b.visit(authPath()).wantStatus(200).wantWays("Aa", "Email", "Oo")

	t.Run("it is not trusted", func(t *testing.T) {
		for _, value := range []string{"nobody", "%zz", strings.Repeat("a", 3000), "<b>"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/auth?"+request().Encode(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cookie", "dex_connector="+value)
			s.do(r).wantStatus(200).wantWays("Aa", "Email", "Oo")
		}
	})
	t.Run("refused logins are not remembered", func(t *testing.T) {
		b := s.browser()
		consent := b.visit(b.visit("/dex/auth/a?" + request().Encode()).wantStatus(302).path()).wantStatus(303).path()
		b.post(consent, url.Values{"approval": {"rejected"}})
		if page := b.visit(authPath()); strings.Contains(page.body, "Last used") {
			t.Error("it is")
		}
	})
	t.Run("switched off", func(t *testing.T) {
		off := startWith(t, loginPages("frontend: {rememberConnector: false, formOnChoice: false}\n", connectors...))
		fresh := off.browser()
		for _, c := range (&http.Response{Header: through(fresh, "a").header}).Cookies() {
			if c.Name == "dex_connector" {
				t.Errorf("sets %v", c)
			}
		}
		b.server = off
		b.visit(authPath()).wantStatus(200)
		through(b, "a")
		b.server = s
		b.visit(authPath()).wantStatus(200).wantWays("Aa", "Email", "Oo")
		if page := b.visit(authPath()); strings.Contains(page.body, "Last used") {
			t.Error("what was remembered before is not forgotten")
		}
	})
	t.Run("no choice", func(t *testing.T) {
		one := startWith(t, noPasswords(loginPages("", connectors[0]))).browser()
		for _, c := range (&http.Response{Header: through(one, "a").header}).Cookies() {
			if c.Name == "dex_connector" {
				t.Errorf("sets %v", c)
			}
		}
	})
}

func TestEmailAddressesFirst(t *testing.T) {
	s := startWith(t, loginPages("",
		formed("ex", "Example", `, domains: [example.com, "*.example.com"], hidden: true`), formed("idn", "Books", ", domains: [bücher.test]"),
		mocked("m", "Mock", ""), formed("strict", "Strict", ""),
	))
	b := s.browser()
	page := b.visit(authPath()).wantStatus(200)
	page.wantWays("Books", "Email", "Mock", "Strict")
	for typed, want := range map[string]string{
		"jane@Example.COM": "ex", "jane@a.b.example.com": "ex", "jane@xn--bcher-kva.test": "idn", " jane@BÜCHER.test ": "idn",
	} {
		to := b.visit(page.typed("dex_email", typed)).wantStatus(302).path()
		if !strings.HasPrefix(to, "/dex/auth/"+want+"/login?") {
			t.Errorf("%s leads to %s", typed, to)
			continue
		}
		form := b.visit(to).wantStatus(200)
		if !strings.Contains(form.body, `value="`+strings.TrimSpace(typed)+`"`) {
			t.Errorf("%s is not in the form", typed)
		}
		if strings.Contains(to, "example") || strings.Contains(to, "dex_email") {
			t.Errorf("the address is in the address: %s", to)
		}
	}
	t.Run("an unknown domain shows the others", func(t *testing.T) {
		again := b.visit(page.typed("dex_email", "jane@<i>.test")).wantStatus(200)
		if !strings.Contains(again.body, "Enter a whole email address") {
			t.Error("what is no address is not told")
		}
		again = b.visit(page.typed("dex_email", "jane@nobody.test")).wantStatus(200)
		links := again.wantWays("Books", "Email", "Mock", "Strict")
		if !strings.Contains(again.body, "<bdi>nobody.test</bdi> has no login of its own here.") {
			t.Error("the page doesn't say so")
		}
		form := b.visit(b.visit(links["Strict"]).wantStatus(302).path()).wantStatus(200)
		if !strings.Contains(form.body, `value="jane@nobody.test"`) {
			t.Error("the address is not passed on")
		}
	})
	t.Run("too long", func(t *testing.T) {
		again := b.visit(page.typed("dex_email", strings.Repeat("ü", 300)+"@example.com")).wantStatus(200)
		if !strings.Contains(again.body, "Enter a whole email address") {
			t.Error("it is taken")
		}
	})
	t.Run("login_hint", func(t *testing.T) {
		hint := []string{"login_hint", "jane@example.com"}
		to := b.visit(authPath(hint...)).wantStatus(302).path()
		if !strings.HasPrefix(to, "/dex/auth/ex/login?") {
			t.Errorf("leads to %s", to)
		}
		back := regexp.MustCompile(`href="(/dex/auth\?[^"]*)"`).FindStringSubmatch(b.visit(to).wantStatus(200).body)
		if back == nil {
			t.Fatal("no way back")
		}
		chosen := b.visit(html.UnescapeString(back[1])).wantStatus(200)
		if to := b.visit(chosen.typed("dex_email", "x@example.com")).wantStatus(302).path(); !strings.HasPrefix(to, "/dex/auth/ex/login?") {
			t.Errorf("from the choice on, an address leads to %s", to)
		}
		b.visit(authPath(append(hint, "prompt", "select_account")...)).wantStatus(200)
		b.visit(authPath("login_hint", "jane")).wantStatus(200)
		b.visit(authPath("login_hint", "jane@nobody.test")).wantStatus(200)
	})
	t.Run("only connectors that the client may use", func(t *testing.T) {
		to := b.visit(authPath("client_id", "strict", "redirect_uri", "https://strict.test/cb", "login_hint", "jane@example.com")).wantStatus(302).path()
		if !strings.HasPrefix(to, "/dex/auth/local/login?") {
			t.Errorf("leads to %s", to)
		}
	})
	t.Run("a device", func(t *testing.T) {
		begun, b := s.device(), s.browser()
		choice := b.typeCode(begun.text("user_code"), "continue").wantStatus(200)
		to := b.visit(choice.typed("dex_email", "jane@example.com")).wantStatus(302).path()
		if form := b.visit(to).wantStatus(200); !strings.Contains(form.body, `value="jane@example.com"`) {
			t.Errorf("%s has no address", to)
		}
	})
	t.Run("no domains, no field", func(t *testing.T) {
		page := start(t, "").get(authPath("login_hint", "jane@example.com", "dex_email", "x@example.com")).wantStatus(200)
		if strings.Contains(page.body, `name="dex_email"`) {
			t.Error("there is one")
		}
	})
}
