package saml_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	dsig "github.com/russellhaering/goxmldsig"

	"dex/internal/connector"
)

var withGroups = connector.Scopes{Groups: true}

func TestLogin(t *testing.T) {
	idp := people().idp
	plain := connector.Identity{UserID: "jane-id", Username: "Jane Doe", Email: "jane@example.org", EmailVerified: true}
	for name, c := range map[string]struct {
		settings string
		edit     func(*answer)
		scopes   connector.Scopes
		want     func(*connector.Identity)
	}{
		"usual":                    {},
		"groups without attribute": {scopes: withGroups},
		"groups": {
			settings: "groupsAttr: groups", scopes: withGroups,
			want: func(id *connector.Identity) { id.Groups = []string{"staff", "admins"} },
		},
		"groups that nobody asks for": {settings: "groupsAttr: groups"},
		"a user without groups": {
			settings: "groupsAttr: groups", scopes: withGroups,
			edit: func(a *answer) {
				a.Attributes = slices.DeleteFunc(a.Attributes, func(b attribute) bool { return b.Name == "groups" })
			},
		},
		"groups in several attributes": {
			settings: "groupsAttr: groups", scopes: withGroups,
			edit: func(a *answer) { a.Attributes = append(a.Attributes, attribute{"groups", []string{"more"}}) },
			want: func(id *connector.Identity) { id.Groups = []string{"staff", "admins", "more"} },
		},
		"groups in one value": {
			settings: "groupsAttr: groups\ngroupsDelim: ','", scopes: withGroups,
			edit: func(a *answer) { a.Attributes = append(a.Attributes, attribute{"groups", []string{" a, b c ,,d"}}) },
			want: func(id *connector.Identity) { id.Groups = []string{"staff", "admins", "a", "b c", "d"} },
		},
		"allowed groups": {
			settings: "groupsAttr: groups\nallowedGroups: [admins]", scopes: withGroups,
			want: func(id *connector.Identity) { id.Groups = []string{"staff", "admins"} },
		},
		"allowed groups that nobody asks for": {settings: "groupsAttr: groups\nallowedGroups: [admins]"},
		"only the allowed groups": {
			settings: "groupsAttr: groups\nallowedGroups: [admins, other]\nfilterGroups: true", scopes: withGroups,
			want: func(id *connector.Identity) { id.Groups = []string{"admins"} },
		},
		"S0-12 other attributes": {
			settings: "USERNAMEATTR: uid\nemailattr: mail",
			want:     func(id *connector.Identity) { id.Username, id.Email = "jane", "j@example.org" },
		},
		"user id from an attribute": {
			settings: "userIDAttr: uid",
			want:     func(id *connector.Identity) { id.UserID = "jane" },
		},
		"preferred username": {
			settings: "preferredUsernameAttr: uid",
			want:     func(id *connector.Identity) { id.PreferredUsername = "jane" },
		},
		"e-mail is not verified": {
			settings: "emailVerified: false",
			want:     func(id *connector.Identity) { id.EmailVerified = false },
		},
		"S0-11 audience is entityIssuer": {
			settings: "entityIssuer: https://dex.test/me",
			edit:     func(a *answer) { a.Audience = "https://dex.test/me" },
		},
		"issuer":                  {settings: "ssoIssuer: " + idpID},
		"lenient":                 {settings: "strict: false", edit: func(a *answer) { a.Recipient = false }},
		"within the clock's skew": {settings: "clockSkew: 4m", edit: func(a *answer) { a.Now = a.Now.Add(4 * time.Minute) }},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.settings + "\n"
			for line := range strings.Lines(usual) {
				key, _, _ := strings.Cut(line, ":")
				if !strings.Contains(strings.ToLower("\n"+text), "\n"+strings.ToLower(key)+":") {
					text += line
				}
			}
			a := jane()
			if c.edit != nil {
				c.edit(&a)
			}
			want := plain
			if c.want != nil {
				c.want(&want)
			}
			got, err := login(t, open(t, text+idp.caData()), c.scopes, a)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(got, "Data", "AuthTime", "Session")); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			if now := time.Now(); got.AuthTime.After(now) || got.AuthTime.Before(now.Add(-3*time.Minute)) {
				t.Errorf("the user signed in at %v, and it is %v", got.AuthTime, now)
			}
		})
	}
}

func TestRefusedLogin(t *testing.T) {
	idp := people().idp
	for name, c := range map[string]struct {
		settings string
		edit     func(*answer)
		by       holder
		method   string
		want     string
		denied   bool
	}{
		"S0-11 wrong CA": {by: people().stranger, want: "certificate that is not configured"},
		"S0-11 audience is entityIssuer": {
			settings: "entityIssuer: https://dex.test/me", want: "another audience",
		},
		"expired certificate": {settings: people().expired.caData(), by: people().expired, want: "expired at"},
		"issuer":              {settings: "ssoIssuer: https://other.test", want: "another issuer"},
		"request":             {edit: func(a *answer) { a.Request = "other" }, want: "another request"},
		"address":             {edit: func(a *answer) { a.ACS = "https://other.test" }, want: "another address"},
		"strict":              {edit: func(a *answer) { a.Recipient = false }, want: "no Recipient"},
		"clock":               {edit: func(a *answer) { a.Now = a.Now.Add(2 * time.Minute) }, want: "not valid before"},
		"SHA-1":               {method: dsig.RSASHA1SignatureMethod, want: "SHA-1, which is not allowed"},
		"no username":         {settings: "usernameAttr: cn", want: `no attribute "cn" with a value; it has ["name" "email" "groups" "uid" "mail"]`},
		"no e-mail":           {settings: "emailAttr: e", want: `no attribute "e"`},
		"no user id":          {settings: "userIDAttr: id", want: `no attribute "id"`},
		"empty e-mail": {
			edit: func(a *answer) { a.Attributes[1].Values = []string{""} }, want: `"email" is empty`,
		},
		"group": {
			settings: "groupsAttr: groups\nallowedGroups: [Staff]", want: `none of allowedGroups: ["staff" "admins"]`, denied: true,
		},
		"no groups": {
			settings: "groupsAttr: none\nallowedGroups: [staff]", want: "not in a group", denied: true,
		},
		"authentication failed": {
			edit: func(a *answer) { a.Status, a.SubStatus = "Responder", "AuthnFailed" },
			want: "log you in", denied: true,
		},
		"request denied": {
			edit: func(a *answer) { a.Status, a.SubStatus = "Requester", "RequestDenied" }, want: "let you in", denied: true,
		},
		"provider's fault": {
			edit: func(a *answer) { a.Status = "VersionMismatch" }, want: "VersionMismatch",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.settings + "\n"
			for line := range strings.Lines(usual + idp.caData()) {
				key, _, _ := strings.Cut(line, ":")
				if !strings.Contains("\n"+text, "\n"+key+":") {
					text += line
				}
			}
			a, by := jane(), idp
			if c.edit != nil {
				c.edit(&a)
			}
			if c.by.key != nil {
				by = c.by
			}
			got, err := open(t, text).HandleCallback(t.Context(), connector.Return{
				Scopes: withGroups, State: state, Request: post(a.sign(t, by, c.method)),
			})
			if err == nil {
				t.Fatalf("signed in as %+v", got)
			}
			_, isDenied := errors.AsType[*connector.Denied](err)
			if isDenied != c.denied {
				t.Errorf("denied: %t, want %t", !c.denied, c.denied)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q", err, c.want)
			}
			for _, value := range []string{"jane@example.org", "Jane Doe"} {
				if strings.Contains(err.Error(), value) {
					t.Errorf("the error tells an attribute's value: %v", err)
				}
			}
		})
	}
}

// The user is told only what concerns them.
func TestReasonOfADenial(t *testing.T) {
	a := jane()
	a.Status, a.SubStatus = "Responder", "AuthnFailed"
	_, err := login(t, open(t, usual+people().idp.caData()), withGroups, a)
	denied, isDenied := errors.AsType[*connector.Denied](err)
	if !isDenied || denied.Reason != "The identity provider couldn't log you in." {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(err.Error(), "the provider answered Responder (AuthnFailed)") {
		t.Errorf("the log does not say what the provider answered: %v", err)
	}
}

func TestSHA1(t *testing.T) {
	s := open(t, usual+"allowSHA1: true\n"+people().idp.caData())
	response := jane().sign(t, people().idp, dsig.RSASHA1SignatureMethod)
	if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(response)}); err != nil {
		t.Error(err)
	}
}

func TestTwoCertificates(t *testing.T) {
	p := people()
	s := open(t, usual+"ca: "+file(t, p.idp.pem()+"\n"+p.next.pem())+"\n")
	for i, by := range []holder{p.idp, p.next} {
		a := jane()
		a.ID = []string{"_1", "_2"}[i]
		if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(a.sign(t, by, ""))}); err != nil {
			t.Errorf("certificate %d: %v", i, err)
		}
	}
}

func TestNoSignature(t *testing.T) {
	s := open(t, usual+"insecureSkipSignatureValidation: true\nssoIssuer: "+idpID)
	response := jane().sign(t, people().stranger, "")
	if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(response)}); err != nil {
		t.Error(err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReplay(t *testing.T) {
	s := open(t, usual+people().idp.caData())
	if _, err := login(t, s, withGroups, jane()); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, s, withGroups, jane()); err == nil || !strings.Contains(err.Error(), "used before") {
		t.Errorf("second time: %v", err)
	}
	another := jane()
	another.ID = "_a2"
	if _, err := login(t, s, withGroups, another); err != nil {
		t.Error(err)
	}
}

// If it can't be told whether an assertion is new, nobody signs in.
func TestReplaysCanNotBeToldApart(t *testing.T) {
	c, _ := settings(t, usual+people().idp.caData())
	opened, err := c.Open(t.Context(), connector.Env{
		ID: "idp", CallbackURL: callbackURL, OwnCallbackURL: callbackURL + "/idp", Log: slog.New(slog.DiscardHandler),
		Once: func(context.Context, string, time.Time) (bool, error) { return true, errors.New("the storage is down") },
	})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := opened.(source)
	if !ok {
		t.Fatalf("%T lacks a capability", opened)
	}
	if _, err := login(t, s, withGroups, jane()); err == nil || !strings.Contains(err.Error(), "the storage is down") {
		t.Errorf("error %v", err)
	}
}

func TestTransientNamesAreToldOf(t *testing.T) {
	for more, told := range map[string]int{"": 1, "userIDAttr: uid\n": 0} {
		var log strings.Builder
		s, err := tryOpen(t, usual+more+people().idp.caData(), &log)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"_1", "_2"} {
			a := jane()
			a.ID, a.Format = id, strings.Replace(persistent, "persistent", "transient", 1)
			if _, err := login(t, s, withGroups, a); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(log.String(), "each login is a new user"); got != told {
			t.Errorf("told %d times, want %d", got, told)
		}
	}
}

func TestBrowserWithoutResponse(t *testing.T) {
	s := open(t, usual+people().idp.caData())
	empty := httptest.NewRequest(http.MethodPost, callbackURL, nil)
	empty.PostForm = url.Values{"RelayState": {state}}
	garbage := post("")
	garbage.PostForm.Set("SAMLResponse", "%%%")
	for name, r := range map[string]*http.Request{
		"GET":     httptest.NewRequest(http.MethodGet, callbackURL+"?SAMLResponse=x&state="+state, nil),
		"empty":   empty,
		"garbage": garbage,
		"text":    post("<Response>"),
	} {
		if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: r}); err == nil {
			t.Errorf("%s: signed in", name)
		}
	}
}
