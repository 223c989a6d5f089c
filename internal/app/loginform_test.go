package app_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
)

func TestFormAmongConnectors(t *testing.T) {
	connectors := []string{mocked("a", "Aa", ""), mocked("z", "Zz", "")}
	s := startWith(t, loginPages("", connectors...))
	b := s.browser()
	page := b.visit(authPath()).wantStatus(200)
	links := page.wantWays("Email", "Aa", "Zz")
	action := regexp.MustCompile(`<form method="post" action="([^"]*)"`).FindStringSubmatch(page.body)
	if action == nil {
		t.Fatal("the page has no form")
	}
	to := html.UnescapeString(action[1])
	if wrong := b.post(to, url.Values{"login": {"admin@example.com"}, "password": {"wrong"}}).wantStatus(401); !strings.Contains(wrong.body, "another way") {
		t.Error("there is no way back from the form")
	}
	b.post(to, url.Values{"login": {"admin@example.com"}, "password": {"password"}}).wantStatus(303)
	s.browser().post(to, url.Values{"login": {"admin@example.com"}, "password": {"password"}}).wantStatus(400) // of another browser

	t.Run("the link leads to the form", func(t *testing.T) {
		form := b.visit(b.visit(links["Email"]).wantStatus(302).path()).wantStatus(200)
		if !strings.Contains(form.body, `id="submit-login"`) {
			t.Error("it doesn't")
		}
	})
	t.Run("the one used last is above it", func(t *testing.T) {
		b := s.browser()
		b.post(b.visit(b.visit(links["Zz"]).path()).path(), url.Values{"approval": {"approve"}})
		b.visit(authPath()).wantStatus(200).wantWays("Zz", "Email", "Aa")
	})
	for name, yaml := range map[string]string{
		"switched off":                     loginPages("frontend: {formOnChoice: false}\n", connectors...),
		"as upstream keeps logins":         loginPages("oauth2: {compatibility: {browserBinding: upstream}}\n", connectors...),
		"the choice is always to be shown": loginPages("oauth2: {alwaysShowLoginScreen: true}\n", connectors...),
		"two forms":                        loginPages("", append(connectors, formed("f", "Ff", ""))...),
		"no form":                          noPasswords(loginPages("", connectors...)),
	} {
		t.Run(name, func(t *testing.T) {
			page := startWith(t, yaml).get(authPath()).wantStatus(200)
			if strings.Contains(page.body, `id="login"`) || len(page.header["Set-Cookie"]) > 0 {
				t.Error("the page has a form, or sets a cookie")
			}
		})
	}
	t.Run("one form is hidden", func(t *testing.T) {
		page := startWith(t, loginPages("", append(connectors, formed("f", "Ff", ", hidden: true"))...)).get(authPath()).wantStatus(200)
		if !strings.Contains(page.body, `id="login"`) {
			t.Error("the page has no form")
		}
	})
	t.Run("an unknown domain", func(t *testing.T) {
		b := startWith(t, loginPages("", append(connectors, mocked("d", "Dd", ", domains: [example.com]"))...)).browser()
		page := b.visit(authPath()).wantStatus(200)
		if strings.Contains(page.body, `id="login"`) {
			t.Error("the form is beside the field for the address")
		}
		page = b.visit(page.typed("dex_email", "admin@nobody.test")).wantStatus(200)
		if !regexp.MustCompile(`(?s)id="login"[^>]*value="admin@nobody.test"`).MatchString(page.body) {
			t.Error("the form doesn't have the address")
		}
	})
	t.Run("a device", func(t *testing.T) {
		begun, b := s.device(), s.browser()
		choice := b.typeCode(begun.text("user_code"), "continue").wantStatus(200)
		action := regexp.MustCompile(`<form method="post" action="(/dex/auth/local/login[^"]*)"`).FindStringSubmatch(choice.body)
		if action == nil {
			t.Fatal("no form")
		}
		consent := b.post(html.UnescapeString(action[1]), url.Values{"login": {"admin@example.com"}, "password": {"password"}}).wantStatus(303)
		b.post(consent.path(), url.Values{"approval": {"approve"}}).wantStatus(303)
		s.token(pollForm(begun.text("device_code"))).wantStatus(200)
	})
}

func TestLogosOfConnectors(t *testing.T) {
	yaml := loginPages("", mocked("a", "Aa", ", logoURL: static/img/oidc-icon.svg"), mocked("b", "Bb", ", logoURL: static/none.svg"),
		mocked("c", "Cc", ", logoURL: 'http://cdn.test/c.svg'"), mocked("d", "Dd", ", logoURL: 'https://cdn.test/d.svg'"))
	page := startWith(t, yaml).get(authPath()).wantStatus(200)
	for _, want := range []string{
		`<img class="dex-btn-logo" src="/dex/static/img/oidc-icon.svg?v=`, `alt="A" aria-hidden="true"`, `src="/dex/static/none.svg"`, `src="https://cdn.test/d.svg"`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	told := app.Report(plan.CheckFiles())
	for _, want := range []string{
		"connectors[1].logoURL: there is no file static/none.svg", "connectors[2].logoURL: browsers show a letter instead: ", "img-src http://cdn.test",
	} {
		if !regexp.MustCompile(`test\.yaml:\d+:\d+: .*` + regexp.QuoteMeta(want)).MatchString(told) {
			t.Errorf("the check doesn't say %q:\n%s", want, told)
		}
	}
	if strings.Count(told, "logoURL") != 2 {
		t.Errorf("the check says\n%s", told)
	}
}
