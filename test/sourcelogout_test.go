package e2e

import "testing"

// How clients are told of logouts.
const (
	backChannel  = "backchannelLogoutURI"
	frontChannel = "frontchannelLogoutURI"
)

// A chain is an application whose users sign in at one server, which lets them sign in at another one.
type chain struct {
	*dex
	provider   *dex
	app, other *party // of our own server
	neighbour  *party // of the provider
}

// startChain starts both servers. The provider tells ours of logouts as a setting of its client says.
func startChain(t *testing.T, tells string) *chain {
	t.Helper()
	h := &chain{app: startParty(t, "portal"), other: startParty(t, "wiki"), neighbour: startParty(t, "neighbour")}
	c, p := newConfiguration(t).withoutConsent(), newConfiguration(t).withoutConsent()
	delete(p.root, "connectors")
	p.with("sessions", section{"ssoSharedWithDefault": "all"})
	p.with("staticPasswords", []section{resident("pia"), resident("quin")})
	p.with("staticClients", []section{
		{
			"id": "dex", "name": "Dex", "secret": "dex-secret", "redirectURIs": []string{c.endpoint("/callback")},
			"postLogoutRedirectURIs": []string{c.endpoint("/logout/callback")}, tells: c.endpoint("/logout/provider"),
		},
		h.neighbour.client(section{"backchannelLogoutURI": h.neighbour.URL + "/backchannel"}),
	})
	h.provider = startDex(t, p)
	h.neighbour.of(t, h.provider)

	c.with("sessions", section{"ssoSharedWithDefault": "all", "cookieName": "dex_session_here"})
	c.with("connectors", []section{oidcConnector(c, p.issuer, section{"scopes": []string{"profile", "email"}})})
	c.with("enablePasswordDB", false).with("staticPasswords", nil)
	c.with("staticClients", []section{
		h.app.client(section{
			"backchannelLogoutURI": h.app.URL + "/backchannel", "frontchannelLogoutURI": h.app.URL + "/frontchannel",
		}),
		h.other.client(section{"backchannelLogoutURI": h.other.URL + "/backchannel"}),
	})
	h.dex = startDex(t, c)
	h.app.of(t, h.dex)
	h.other.of(t, h.dex)
	return h
}

// signIn signs somebody in to all applications, with one password.
func (h *chain) signIn(b *tab, name string) (here, there idClaims) {
	b.t.Helper()
	b.open(h.app.at())
	b.enterPassword(name+"@example.org", adminPassword, "#claims")
	here = b.claims()
	if got := b.pass(h.other.at("prompt", "none")); got != here {
		b.t.Errorf("the second application has %+v, want %+v", got, here)
	}
	there = b.pass(h.neighbour.at("prompt", "none"))
	if here.Email != name+"@example.org" || there.Email != here.Email || here.Session == there.Session {
		b.t.Fatalf("here it is %+v, there %+v", here, there)
	}
	return here, there
}

// wantEnded checks that a logout has reached all applications of both servers.
func (h *chain) wantEnded(b *tab, here, there idClaims) {
	b.t.Helper()
	h.app.wantTold(b.t, h.issuer, here.Subject, here.Session)
	h.other.wantTold(b.t, h.issuer, here.Subject, here.Session)
	h.neighbour.wantTold(b.t, h.provider.issuer, there.Subject, there.Session)
	for _, p := range []*party{h.app, h.other, h.neighbour} {
		b.wantAnswer(p.at("prompt", "none"), "login_required")
	}
	b.open(h.app.at())
	b.see(passwordForm) // the provider asks, too
}

// TestLogoutHereEndsTheSessionAtTheSource goes on to the provider's logout, and comes back.
func TestLogoutHereEndsTheSessionAtTheSource(t *testing.T) {
	t.Parallel()
	h, b := startChain(t, backChannel), newBrowser(t)
	here, there := h.signIn(b, "pia")
	b.pass(h.app.at())
	hint := b.text("#id-token")
	b.open(h.endpoint("/logout?" + query("id_token_hint", hint, "post_logout_redirect_uri", h.app.URL+"/bye", "state", "the state")))
	b.wantText("#bye", "the state") // without a question at either
	h.app.wantFrame(t, h.issuer, here.Session)
	h.wantEnded(b, here, there)

	here, there = h.signIn(b, "quin")
	b.open(h.endpoint("/logout"))
	b.click("#submit-logout", "h1")
	b.wantLoggedOut()
	b.wantText("main", "You can close this page.") // nothing is still open
	h.app.wantFrame(t, h.issuer, here.Session)
	h.wantEnded(b, here, there)
}

// TestLogoutAtTheSourceEndsTheSessionHere has the provider tell of a logout there.
func TestLogoutAtTheSourceEndsTheSessionHere(t *testing.T) {
	t.Parallel()
	for _, channel := range []string{backChannel, frontChannel} {
		t.Run(channel, func(t *testing.T) {
			t.Parallel()
			h, b, another := startChain(t, channel), newBrowser(t), newBrowser(t)
			here, there := h.signIn(b, "pia")
			elsewhere, _ := h.signIn(another, "pia")
			b.pass(h.neighbour.at())
			b.open(h.provider.endpoint("/logout?" + query("id_token_hint", b.text("#id-token"))))
			b.wantLoggedOut()
			h.wantEnded(b, here, there)

			if got := another.pass(h.app.at("prompt", "none")); got != elsewhere {
				t.Errorf("in another browser, the application has %+v, want %+v", got, elsewhere)
			}
			h.app.wantNotTold(t, elsewhere.Session)
		})
	}
}
