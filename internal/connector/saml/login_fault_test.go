package saml_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// An empty first value hid the good ones behind it.
var _ = faulttest.Add("C-35", func(t *testing.T) {
	for _, values := range [][]string{{"", "b@example.org"}, {" \n", "", "b@example.org", "c@example.org"}} {
		a := jane()
		a.Attributes[1].Values = values
		id, err := login(t, open(t, usual+people().idp.caData()), withGroups, a)
		if err != nil || id.Email != "b@example.org" {
			t.Errorf("%q: %+v, %v", values, id, err)
		}
	}
})

// Values and groups kept the white space of pretty-printed responses, and groups came twice.
var _ = faulttest.Add("C-36", func(t *testing.T) {
	a := jane()
	a.NameID = "\n  jane-id\n"
	a.Attributes[1].Values = []string{"\n jane@example.org\n"}
	a.Attributes[2].Values = []string{"a", "a", " a ", "\n b\n", ""}
	s := open(t, usual+"groupsAttr: groups\nallowedGroups: [b]\n"+people().idp.caData())
	id, err := login(t, s, withGroups, a)
	if err != nil || id.UserID != "jane-id" || id.Email != "jane@example.org" || !slices.Equal(id.Groups, []string{"a", "b"}) {
		t.Errorf("%+v, %v", id, err)
	}
	// Upstream stored them as they came.
	old := `{"userId":"jane-id","username":"Jane","email":"jane@example.org","groups":["a","\n b\n","a"]}`
	again, err := s.Refresh(t.Context(), withGroups, connector.Identity{Data: []byte(old)})
	if err != nil || !slices.Equal(again.Groups, []string{"a", "b"}) {
		t.Errorf("at a refresh %+v, %v", again, err)
	}
})

// Blanks around names, and blanks of every kind around groups, were dropped, so names or groups that differ only in blanks at
// the provider became the same here.
func TestBlanksMakeAnotherUser(t *testing.T) {
	a := jane()
	a.NameID = "jane-id "
	a.Attributes[1].Values = []string{" jane@example.org"}
	a.Attributes[2].Values = []string{"admins\u00a0", "\u2003admins", "a"}
	s := open(t, usual+"groupsAttr: groups\n"+people().idp.caData())
	id, err := login(t, s, withGroups, a)
	if err != nil || id.UserID != "jane-id " || id.Email != " jane@example.org" || slices.Contains(id.Groups, "admins") {
		t.Errorf("%+v, %v", id, err)
	}
	for _, more := range []string{"", "groupsDelim: ','\n"} {
		a.Attributes[2].Values = []string{"admins\u00a0"}
		s = open(t, usual+"groupsAttr: groups\nallowedGroups: [admins]\n"+more+people().idp.caData())
		if id, err := login(t, s, withGroups, a); connector.OutcomeOf(err) != connector.Refused {
			t.Errorf("%q: another group lets in %+v, %v", more, id, err)
		}
	}
}

// Nothing checked that the provider used the way of signing in that it was asked for.
var _ = faulttest.Add("K16", func(t *testing.T) {
	const mfa, password = "https://refeds.org/profile/mfa", "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
	for name, c := range map[string]struct {
		settings, acr, did string
		refused            bool
	}{
		"not demanded":              {"requestedAuthnContext: [" + mfa + "]", "", "urn:unspecified", false},
		"met":                       {"requestedAuthnContext: [" + mfa + "]\nverifyAuthnContext: true", "", mfa, false},
		"not met":                   {"requestedAuthnContext: [" + mfa + "]\nverifyAuthnContext: true", "", password, true},
		"not told":                  {"requestedAuthnContext: [" + mfa + "]\nverifyAuthnContext: true", "", "", true},
		"the application can't ask": {"requestedAuthnContext: [" + mfa + "]\nverifyAuthnContext: true", password, password, true},
		"it chooses":                {"requestedAuthnContext: [" + mfa + ", " + password + "]\nverifyAuthnContext: true", password, mfa, true},
		"and gets it":               {"requestedAuthnContext: [" + mfa + ", " + password + "]\nverifyAuthnContext: true", password, password, false},
	} {
		s := open(t, usual+c.settings+"\n"+people().idp.caData())
		to, document := begin(t, s, connector.LoginRequest{ACRValues: c.acr})
		if !strings.Contains(document, "RequestedAuthnContext") {
			t.Errorf("%s: the request asks for none: %s", name, document)
		}
		a := jane()
		a.Context = c.did
		_, err := s.HandleCallback(t.Context(), connector.Return{State: state, Data: to.Data, Request: post(a.sign(t, people().idp, ""))})
		_, isDenied := errors.AsType[*connector.Denied](err)
		if isDenied != c.refused || err != nil && !c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, wrong := range map[string]bool{
		"verifyAuthnContext: true": true, "requestedAuthnContext: [gold]": true, "requestedAuthnContext: [" + mfa + "]": false,
	} {
		if _, problems := settings(t, usual+text+"\n"+people().idp.caData()); problems.HasErrors() != wrong {
			t.Errorf("%s: %v", text, problems)
		}
	}
})

// AD FS refuses a name format that it is not set up for, and the request could not leave it out.
var _ = faulttest.Add("C-28", func(t *testing.T) {
	s := open(t, usual+"nameIDPolicyFormat: none\n"+people().idp.caData())
	if _, document := begin(t, s, connector.LoginRequest{}); strings.Contains(document, "NameIDPolicy") {
		t.Errorf("the request is %s", document)
	}
	metadata, _, err := s.Metadata(t.Context())
	if err != nil || strings.Contains(string(metadata), "NameIDFormat") {
		t.Errorf("our metadata is %s, %v", metadata, err)
	}
})

// Nothing said that an answer had come by a binding that isn't supported.
var _ = faulttest.Add("K10", func(t *testing.T) {
	s := open(t, usual+people().idp.caData())
	for query, want := range map[string]string{
		"SAMLart=AAQ&RelayState=" + state: "HTTP-Artifact", "SAMLResponse=x&RelayState=" + state: "HTTP-Redirect",
		"SAMLRequest=x": "a request of its own", "": "without a posted SAMLResponse",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, callbackURL+"?"+query, http.NoBody)
		if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: r}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
})

// Refreshes went on for ever, although the provider is never asked again.
var _ = faulttest.Add("R27", func(t *testing.T) {
	const month = 30 * 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			settings string
			data     string // of a login by upstream
			after    time.Duration
			gone     bool
		}{
			"young":                  {after: month - time.Minute},
			"old":                    {after: month, gone: true},
			"without end":            {settings: "maxAge: 0s\n", after: 10 * month},
			"upstream's":             {data: upstreamData, after: month - time.Minute},
			"upstream's, old":        {data: upstreamData, after: month, gone: true},
			"upstream's without end": {settings: "maxAge: 0s\n", data: upstreamData, after: 10 * month},
		} {
			s := open(t, usual+c.settings+people().idp.caData())
			id := connector.Identity{UserID: "jane-id", Data: []byte(c.data)}
			if c.data == "" {
				var err error
				if id, err = login(t, s, withGroups, jane()); err != nil {
					t.Fatal(err)
				}
			}
			for i, wait := range []time.Duration{0, c.after} {
				time.Sleep(wait)
				fresh, err := s.Refresh(t.Context(), withGroups, id)
				if gone := errors.Is(err, connector.ErrGone); gone != (c.gone && i == 1) || err != nil && !gone {
					t.Errorf("%s, refresh %d: %v", name, i, err)
				}
				id = fresh
			}
		}
	})
})

// A login stored by upstream doesn't say how old it is, so it ends if, and only if, a maximum age is set.
var _ = faulttest.Add("T-refresh-49", func(t *testing.T) {
	for settings, gone := range map[string]bool{"maxAge: 876000h\n": true, "maxAge: 0s\n": false, "": false} {
		s := open(t, usual+settings+people().idp.caData())
		_, err := s.Refresh(t.Context(), withGroups, connector.Identity{Data: []byte(upstreamData)})
		if errors.Is(err, connector.ErrGone) != gone || err != nil && !gone {
			t.Errorf("%q: %v", settings, err)
		}
	}
})
