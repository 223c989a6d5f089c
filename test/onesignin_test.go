package e2e

import (
	"testing"
)

// An estate is three applications of two servers behind a load balancer, on one PostgreSQL. The portal shares its sign-ins with the
// wiki, and the wiki with the files. The portal and the wiki can be told of logouts.
type estate struct {
	*dex
	portal, wiki, files *party
}

// resident returns a user whose password is that of all.
func resident(name string) section {
	return section{"email": name + "@example.org", "hash": adminHash, "username": name, "name": name, "userID": name}
}

func startEstate(t *testing.T, people ...string) *estate {
	t.Helper()
	e := &estate{portal: startParty(t, "portal"), wiki: startParty(t, "wiki"), files: startParty(t, "files")}
	c := newConfiguration(t).withStorage(t, "postgres").with("sessions", section{})
	var users []section
	for _, name := range people {
		users = append(users, resident(name))
	}
	c.with("staticPasswords", users)
	tellable := func(p *party, sharesWith string) section {
		return p.client(section{
			"ssoSharedWith": []string{sharesWith}, "backchannelLogoutURI": p.URL + "/backchannel",
			"frontchannelLogoutURI": p.URL + "/frontchannel",
		})
	}
	c.with("staticClients", []section{tellable(e.portal, "wiki"), tellable(e.wiki, "files"), e.files.client(nil)})
	e.dex = c.startBalanced(t, "127.0.0.1")
	for _, p := range []*party{e.portal, e.wiki, e.files} {
		p.of(t, e.dex)
	}
	return e
}

// signIn begins a login that asks for everything, and ends it.
func (b *tab) signIn(address, name string) idClaims {
	b.t.Helper()
	b.passwordFormAt(address)
	b.enterPassword(name+"@example.org", adminPassword, approveButton)
	b.click(approveButton, "#claims")
	return b.claims()
}

func (b *tab) passwordFormAt(address string) {
	b.t.Helper()
	b.open(address)
	b.see(loginChoice)
	b.follow("Log in with Email", passwordForm)
}

// agree begins a login that asks for consent only.
func (b *tab) agree(address string) idClaims {
	b.t.Helper()
	b.open(address)
	b.click(approveButton, "#claims")
	return b.claims()
}

// pass begins a login that asks for nothing.
func (b *tab) pass(address string) idClaims {
	b.t.Helper()
	b.open(address)
	return b.claims()
}

// TestOneSignInForAllApplications signs people in to applications that share sessions, and don't. No two requests in a row reach the
// same replica.
func TestOneSignInForAllApplications(t *testing.T) {
	t.Parallel()
	e := startEstate(t, "ann", "ben", "cleo", "dora", "eve", "finn")
	for name, check := range map[string]func(*testing.T, *estate){
		"S0-04 a second application signs its users in without asking": checkSharing,
		"consent is remembered": checkConsentRemembered,
		"two accounts":          checkTwoAccounts,
		"two people at once":    checkTwoPeopleAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, e)
		})
	}
}

func checkSharing(t *testing.T, e *estate) {
	b, another := newBrowser(t), newBrowser(t)
	first := b.signIn(e.portal.at(), "ann")
	if first.Session == "" || first.AuthTime == 0 || first.Email != "ann@example.org" {
		t.Fatalf("the portal has %+v", first)
	}
	b.agree(e.wiki.at())
	for _, p := range []*party{e.portal, e.wiki} {
		for _, address := range []string{p.at(), p.at("prompt", "none"), p.at("max_age", "1000")} {
			if got := b.pass(address); got != first {
				t.Errorf("%s has %+v, want the session of %+v", p.id, got, first)
			}
		}
	}
	// The wiki shares with the files, but has the session from the portal.
	b.wantAnswer(e.files.at("prompt", "none"), "login_required")
	if got := b.signIn(e.files.at(), "ann"); got.Session != first.Session || got.Subject != first.Subject {
		t.Errorf("after another sign-in the files have %+v, want the session of %+v", got, first)
	}
	for _, p := range []*party{e.portal, e.wiki, e.files} {
		another.wantAnswer(p.at("prompt", "none"), "login_required")
	}
	another.passwordFormAt(e.wiki.at())
	another.enterPassword("ann@example.org", adminPassword, "#claims") // she has agreed already
	if got := another.claims(); got.Session == first.Session || got.Subject != first.Subject {
		t.Errorf("two browsers have %+v and %+v", first, got)
	}
	// This time she has signed in for the wiki.
	another.pass(e.files.at())
	another.wantAnswer(e.portal.at("prompt", "none"), "login_required")
}

func checkConsentRemembered(t *testing.T, e *estate) {
	b := newBrowser(t)
	first := b.signIn(e.portal.at(), "ben")
	b.pass(e.portal.at())
	b.pass(e.portal.at("scope", "openid email"))
	more := []string{"scope", "openid email profile groups"}
	b.wantAnswer(e.portal.at(append(more, "prompt", "none")...), "consent_required")
	b.open(e.portal.at(more...))
	b.click(denyButton, "#error")
	b.wantText("#error", "access_denied")
	b.wantAnswer(e.portal.at(append(more, "prompt", "none")...), "consent_required")
	b.agree(e.portal.at(more...))
	b.pass(e.portal.at(more...))
	b.agree(e.portal.at("prompt", "consent"))
	if got := b.pass(e.portal.at("prompt", "none")); got != first {
		t.Errorf("the portal has %+v, want %+v", got, first)
	}
}

func checkTwoAccounts(t *testing.T, e *estate) {
	b := newBrowser(t)
	cleo := b.signIn(e.portal.at(), "cleo")
	b.agree(e.wiki.at())
	dora := b.signIn(e.portal.at("prompt", "login"), "dora")
	if dora.Subject == cleo.Subject || dora.Session == cleo.Session {
		t.Fatalf("the accounts are %+v and %+v", cleo, dora)
	}
	b.open(e.portal.at())
	b.see("#accounts")
	b.follow("cleo@example.org", "#claims")
	if got := b.claims(); got != cleo {
		t.Errorf("chosen is %+v, want %+v", got, cleo)
	}
	b.open(e.wiki.at())
	b.see("#accounts")
	b.follow("dora@example.org", approveButton)
	b.click(approveButton, "#claims")
	if got := b.claims(); got != dora {
		t.Errorf("chosen is %+v, want %+v", got, dora)
	}
	for _, want := range []idClaims{cleo, dora} {
		if got := b.pass(e.portal.at("login_hint", want.Email)); got != want {
			t.Errorf("the hint for %s leads to %+v", want.Email, got)
		}
	}
	if got := b.pass(e.wiki.at("prompt", "none")); got != dora {
		t.Errorf("the wiki has %+v, want the account that it had last: %+v", got, dora)
	}
	b.open(e.wiki.at())
	b.see("#accounts")
	b.click("#another", loginChoice)
}

// checkTwoPeopleAtOnce has two people log in to two applications, each step between those of the other.
func checkTwoPeopleAtOnce(t *testing.T, e *estate) {
	eve := newBrowser(t)
	finn := eve.another()
	eve.passwordFormAt(e.portal.at())
	finn.passwordFormAt(e.wiki.at())
	finn.enterPassword("finn@example.org", adminPassword, approveButton)
	eve.enterPassword("eve@example.org", adminPassword, approveButton)
	finn.click(approveButton, "#claims")
	eve.click(approveButton, "#claims")
	atPortal, atWiki := eve.claims(), finn.claims()
	if atPortal.Email != "eve@example.org" || atWiki.Email != "finn@example.org" || atPortal.Session == atWiki.Session {
		t.Fatalf("the portal has %+v, and the wiki %+v", atPortal, atWiki)
	}
	if got := finn.pass(e.wiki.at("prompt", "none")); got != atWiki {
		t.Errorf("then the wiki has %+v, want %+v", got, atWiki)
	}
	if got := eve.pass(e.portal.at("prompt", "none")); got != atPortal {
		t.Errorf("then the portal has %+v, want %+v", got, atPortal)
	}
}
