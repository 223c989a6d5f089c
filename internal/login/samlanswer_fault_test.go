package login_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/login"
	"dex/internal/telemetry"
)

// response is the beginning of a SAML response, as a form has it. Nothing more of it is looked at before the connector.
func response(attributes string) string {
	return base64.StdEncoding.EncodeToString([]byte(`<?xml version="1.0"?><p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ` +
		attributes + `>` + strings.Repeat("<x/>", 10_000)))
}

// Providers that lose or change the RelayState, or send users who never began a login, were answered with words that fit
// neither, and the log said the same of all.
var _ = faulttest.Add("C-25", func(t *testing.T) {
	var log bytes.Buffer
	v := &visitor{t: t, cookies: map[string]string{}, handler: newFlow(t, &source{}, func(c *login.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Events = telemetry.NewEventLog(c.Log)
	})}
	begin := func() string {
		to, err := url.Parse(v.begin(nil).Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return to.Query().Get("state")
	}
	const callback = "http://dex.test/callback"
	for _, relay := range [][]string{nil, {""}, {"%72x"}, {"https://app.test/"}, {"raaaaaaaaaaaaaaaaaaaaaaaa"}} {
		form := url.Values{"SAMLResponse": {response(`InResponseTo="` + begin() + `"`)}, "RelayState": relay, "dex_reposted": {"1"}}
		if w := v.do(http.MethodPost, callback, form, nil); w.Code != http.StatusSeeOther {
			t.Errorf("RelayState %q: %d %s", relay, w.Code, w.Body)
		}
	}
	// A browser that sent no cookies, as the form came from another site, is asked to send it once more.
	form := url.Values{"SAMLResponse": {response(`InResponseTo="` + begin() + `"`)}}
	stranger := &visitor{t: t, handler: v.handler, cookies: map[string]string{}}
	if w := stranger.do(http.MethodPost, callback, form, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "dex_reposted") {
		t.Errorf("without cookies: %d %s", w.Code, w.Body)
	}
	begun := "r" + strings.Repeat("a", 58) // by somebody
	for name, c := range map[string]struct{ response, page, log string }{
		"IdP-initiated":    {response(`ID="_a"`), "without being asked to", "to no request (IdP-initiated)"},
		"another's":        {response(`InResponseTo="_other"`), "This login has ended", "none of ours"},
		"another prefix":   {response(`xmlns:q="q" q:InResponseTo="x"`), "without being asked to", "IdP-initiated"},
		"another browser":  {response(`InResponseTo="` + begun + `"`), "started in another browser", "is to the login " + begun},
		"no response":      {"PHg+", "read.", "is no response"},
		"not even base64":  {"<x>", "read.", "is no response"},
		"not even a start": {"", "read.", "is no response"},
	} {
		log.Reset()
		form := url.Values{"SAMLResponse": {c.response}, "RelayState": {"https://app.test/"}, "dex_reposted": {"1"}}
		w := v.do(http.MethodPost, callback, form, nil)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.page) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if !strings.Contains(log.String(), c.log) || !strings.Contains(log.String(), "RelayState") {
			t.Errorf("%s: the log says %s", name, log.String())
		}
	}
})

// A response says itself which login it answers, so whoever has begun one can have another's browser bring the response to it.
// They would be logged in there as somebody else than they think.
func TestSAMLAnswerToTheLoginOfAnotherBrowser(t *testing.T) {
	attacker := &visitor{t: t, cookies: map[string]string{}, handler: newFlow(t, &source{}, func(*login.Config) {})}
	victim := &visitor{t: t, cookies: map[string]string{}, handler: attacker.handler}
	state := func(v *visitor) string {
		to, err := url.Parse(v.begin(nil).Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return to.Query().Get("state")
	}
	theirs, own := state(attacker), state(victim)
	for _, relay := range [][]string{nil, {theirs}, {own}} {
		form := url.Values{"SAMLResponse": {response(`InResponseTo="` + theirs + `"`)}, "RelayState": relay, "dex_reposted": {"1"}}
		if w := victim.do(http.MethodPost, "http://dex.test/callback", form, nil); w.Code != http.StatusBadRequest {
			t.Errorf("RelayState %q: %d %s", relay, w.Code, w.Header())
		}
	}
	form := url.Values{"SAMLResponse": {response(`InResponseTo="` + theirs + `"`)}, "dex_reposted": {"1"}}
	w := attacker.do(http.MethodPost, "http://dex.test/callback/another", form, nil)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "started this login another way") {
		t.Errorf("at another source's address: %d %s", w.Code, w.Body)
	}
	if w := attacker.do(http.MethodPost, "http://dex.test/callback", form, nil); w.Code != http.StatusSeeOther {
		t.Errorf("the browser that has begun it: %d %s", w.Code, w.Body)
	}
}
