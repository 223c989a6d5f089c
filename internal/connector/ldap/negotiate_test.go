package ldap_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/kerberos"
	"dex/internal/kerberos/kerberostest"
)

// openWithTickets opens a connector that takes tickets. The keytab is at KEYTAB in the settings.
func openWithTickets(t *testing.T, text string) any {
	t.Helper()
	keytab := filepath.Join(t.TempDir(), "keytab")
	kerberostest.WriteKeytab(t, keytab, "secret")
	c, problems := settings(t, strings.ReplaceAll(text, "KEYTAB", keytab))
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	instance, err := c.Open(t.Context(), connector.Env{
		ID: "a", Log: slog.New(slog.DiscardHandler),
		Once: func(context.Context, string, time.Time) (bool, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = instance.(source).Close() })
	return instance
}

func TestTickets(t *testing.T) {
	good := kerberostest.New()
	other := good
	other.Realm = "OTHER.ORG"
	nobody := good
	nobody.Name = "nobody"
	wrongKey := good
	wrongKey.Password = "other"
	const local, whole = "expectedRealm: example.org", "usernameFromPrincipal: userPrincipalName"
	for name, c := range map[string]struct {
		settings  string
		header    string
		down      bool
		challenge string
		id        string // of the user who signs in
		fails     bool
		denied    bool
	}{
		"no ticket":        {settings: local, challenge: kerberos.Challenge},
		"another scheme":   {settings: local, header: "Basic amFuZTpmb28=", challenge: kerberos.Challenge},
		"rubbish":          {settings: local, header: "Negotiate rubbish", challenge: kerberos.Incomplete},
		"wrong key":        {settings: local, header: wrongKey.Header(t), challenge: kerberos.Rejected},
		"wrong realm":      {settings: local, header: other.Header(t), challenge: kerberos.Challenge},
		"any realm":        {settings: "maxClockSkew: 60", header: other.Header(t), id: "jane"},
		"good":             {settings: local, header: good.Header(t), id: "jane"},
		"good, with realm": {settings: whole, header: good.Header(t), id: "jane@EXAMPLE.ORG"},
		"nobody":           {settings: local, header: nobody.Header(t), fails: true, denied: true},
		"directory down":   {settings: local, header: good.Header(t), down: true, fails: true},
	} {
		for _, form := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				withRealm := jane()
				withRealm.dn = "uid=other," + people
				withRealm.attributes = map[string][]string{"uid": {"jane@EXAMPLE.ORG"}, "mail": {"j@x"}, "cn": {"J"}}
				s := serve(t, nil, jane(), withRealm)
				text := users(s) + "kerberos:\n  enabled: true\n  keytabPath: KEYTAB\n  " + c.settings + "\n"
				if form {
					text += "  fallbackToPassword: true\n"
				}
				negotiator := openWithTickets(t, text).(connector.Negotiator)
				if c.down {
					_ = s.listener.Close()
				}
				r := httptest.NewRequest(http.MethodGet, "/auth/a/login", nil)
				if c.header != "" {
					r.Header.Set("Authorization", c.header)
				}
				n := negotiator.Negotiate(t.Context(), connector.Scopes{}, r)
				wantErr := c.fails && (!c.denied || !form) // a stranger may type another name
				if n.Challenge != c.challenge || (n.Err != nil) != wantErr || (connector.OutcomeOf(n.Err) == connector.Refused) != (c.denied && wantErr) {
					t.Errorf("got %+v", n)
				}
				if (n.Identity != nil) != (c.id != "") || n.Identity != nil && n.Identity.UserID != c.id {
					t.Errorf("got %+v", n.Identity)
				}
				if c.id == "" && n.Form != form {
					t.Errorf("form: %t", n.Form)
				}
				if len(s.binds) > 0 && strings.Contains(strings.Join(s.binds, " "), "uid=jane") {
					t.Errorf("binds as the user: %v", s.binds)
				}
			})
		}
	}
}

func TestKerberosSettings(t *testing.T) {
	s := serve(t, nil)
	for text, want := range map[string]string{
		"enabled: false": "",
		"enabled: true, keytabPath: k, expectedRealm: R":                              "",
		"enabled: true, expectedRealm: R":                                             "kerberos.keytabPath: is missing",
		"enabled: true, keytabPath: k":                                                "kerberos.expectedRealm: is missing",
		"enabled: true, keytabPath: k, usernameFromPrincipal: userprincipalname":      "",
		"enabled: true, keytabPath: k, expectedRealm: R, usernameFromPrincipal: name": "is treated as localpart",
	} {
		_, problems := settings(t, users(s)+"kerberos: {"+text+"}\n")
		var all []string
		for _, p := range problems {
			all = append(all, p.String())
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestKeytabThatCanNotBeRead(t *testing.T) {
	s := serve(t, nil, jane())
	const without = "kerberos: {enabled: true, expectedRealm: R, keytabPath: /no/such/file"
	c, _ := settings(t, users(s)+without+"}\n")
	if _, err := c.Open(t.Context(), connector.Env{ID: "a", Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("without a form it opens")
	}
	c, _ = settings(t, users(s)+without+", fallbackToPassword: true}\n")
	withForm := opened(t, c, nil)
	if _, takesTickets := withForm.(connector.Negotiator); takesTickets {
		t.Error("it takes tickets")
	}
	mustLogin(t, withForm, connector.Scopes{}, "jane", "foo")
	if _, takesTickets := open(t, users(s)).(connector.Negotiator); takesTickets {
		t.Error("a connector without Kerberos takes tickets")
	}
}
