package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dex/test/servers"
)

// kerberosService is the service that browsers request tickets for at http://localhost.
const kerberosService = "HTTP/localhost"

const (
	kimAtHome    = "kim@" + servers.KDCRealm
	kimElsewhere = "kim@" + servers.KDCTrustedRealm // somebody else with the same name
	ghost        = "ghost@" + servers.KDCRealm      // not in the directory
)

// A kerberosSite is a server that accepts tickets, with everything that it needs.
type kerberosSite struct {
	*dex
	kdc       *servers.KDC
	directory *servers.Slapd
	app       string
}

// startKerberosSite starts a KDC, a directory, and a server with connectors that accept tickets in different ways.
func startKerberosSite(t *testing.T) *kerberosSite {
	t.Helper()
	s := &kerberosSite{kdc: startKDC(t), app: "http://" + freeAddress(t)}
	s.directory = startSlapd(t, servers.SlapdOptions{LDIF: specialPeople()})
	s.newKeys(t, "stale", "")
	s.newKeys(t, "good", "")

	tickets := func(id string, kerberos, more section) section {
		config := section{"kerberos": section{
			"enabled": true, "keytabPath": s.kdc.Keytab("good"), "expectedRealm": "example.org", "fallbackToPassword": true,
			"maxClockSkew": 60,
		}}
		for key, value := range kerberos {
			config["kerberos"].(section)[key] = value
		}
		for key, value := range more {
			config[key] = value
		}
		return ldapConnector(id, s.directory, config)
	}
	only := section{"fallbackToPassword": false}
	c := newConfiguration(t).withoutConsent().with("connectors", []section{
		tickets("tickets", nil, nil),
		tickets("only-tickets", only, nil),
		tickets("whole-name", section{"usernameFromPrincipal": "userPrincipalName", "expectedRealm": "", "fallbackToPassword": false},
			section{"userSearch": section{
				"baseDN": ldapPeople, "username": "mail", "idAttr": "uid", "nameAttr": "cn", "preferredUsernameAttr": "uid",
			}}),
		tickets("principal", section{"keytabPrincipal": kerberosService + "@" + servers.KDCRealm}, nil),
		tickets("other-principal", section{"spn": "HTTP/other"}, nil),
		tickets("stale-keytab", section{"keytabPath": s.kdc.Keytab("stale")}, nil),
		tickets("no-keytab", section{"keytabPath": s.kdc.Keytab("none")}, nil),
		tickets("no-keytab-no-form", section{"keytabPath": s.kdc.Keytab("none"), "fallbackToPassword": false}, nil),
		tickets("no-directory", nil, section{"host": freeAddress(t)}),
		tickets("no-directory-no-form", only, section{"host": freeAddress(t)}),
		tickets("unix-users", only, section{"allowedGroups": []string{"department"}}),
	})
	c.withIssuer(strings.Replace(c.issuer, "127.0.0.1", "localhost", 1))
	c.with("staticClients", []section{
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{callbackURL, s.app + "/callback"}},
	})
	s.dex = startDex(t, c)
	startApp(t, c, s.app)
	return s
}

func startKDC(t *testing.T) *servers.KDC {
	t.Helper()
	k, err := servers.StartKDC(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, k) })
	must(t, k.AddService(t.Context(), kerberosService))
	for _, user := range []string{kimAtHome, kimElsewhere, ghost} {
		must(t, k.AddUser(t.Context(), user))
	}
	return k
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newKeys gives the service new keys, and adds them to a keytab.
func (s *kerberosSite) newKeys(t *testing.T, keytab, encryption string) {
	t.Helper()
	must(t, s.kdc.NewKeys(t.Context(), kerberosService, s.kdc.Keytab(keytab), encryption))
}

// at logs in a user at a workstation.
func (s *kerberosSite) at(t *testing.T, user string) servers.KerberosLogin {
	t.Helper()
	login, err := s.kdc.Login(t.Context(), user)
	must(t, err)
	return login
}

// form returns the address of the login form for a new login with a connector.
func (s *kerberosSite) form(t *testing.T, w *workstation, connector string) string {
	t.Helper()
	p := w.get(t, s.authURL("/auth/"+connector, nil))
	if p.header.Get("Location") == "" {
		t.Fatalf("status %d and no way to the form of %s: %s", p.status, connector, visibleText(p))
	}
	return p.header.Get("Location")
}

// visit opens a connector's login form from a workstation.
func (s *kerberosSite) visit(t *testing.T, login servers.KerberosLogin, connector string) *page {
	t.Helper()
	w := newWorkstation(t, login)
	return w.get(t, s.form(t, w, connector), "--negotiate", "-u", ":")
}

// enters expects a workstation to log in without a form, and returns the tokens.
func (s *kerberosSite) enters(t *testing.T, p *page) *tokenAnswer {
	t.Helper()
	if p.answer.Get("code") == "" {
		t.Fatalf("the login ends with status %d, %q: %s", p.status, p.header.Get("WWW-Authenticate"), visibleText(p))
	}
	tokens, err := s.redeem(t.Context(), p.answer.Get("code"))
	must(t, err)
	return tokens
}

// wantNoTicket checks the answer to an invalid ticket, or to none.
func wantNoTicket(t *testing.T, p *page, status int, challenge string, form bool) {
	t.Helper()
	if got := p.header.Get("WWW-Authenticate"); p.answer != nil || p.status != status || got != challenge {
		t.Errorf("status %d, challenge %q, answer %v; want %d and %q", p.status, got, p.answer, status, challenge)
	}
	if got := strings.Contains(p.body, `name="password"`); got != form {
		t.Errorf("form: %t, want %t: %s", got, form, visibleText(p))
	}
}

// The server's challenge, and its answer to an invalid ticket (RFC 4559, RFC 4178).
const (
	negotiate = "Negotiate"
	rejected  = "Negotiate oQcwBaADCgEC"
)

// TestKerberos signs people in with tickets of a real KDC.
func TestKerberos(t *testing.T) {
	t.Parallel()
	s := startKerberosSite(t)
	kim := personClaims{Name: "The kim", PreferredUsername: "kim", Email: "kim@example.org", Groups: []string{"team", "circle"}}
	home, nobody := s.at(t, kimAtHome), s.kdc.Nobody()

	for _, connector := range []string{"tickets", "only-tickets", "whole-name", "principal"} {
		t.Run("ticket by "+connector, func(t *testing.T) {
			wantClaims(t, s.enters(t, s.visit(t, home, connector)), kim)
		})
	}
	t.Run("ticket when it is asked for", func(t *testing.T) {
		w := newWorkstation(t, home)
		wantClaims(t, s.enters(t, w.get(t, s.form(t, w, "tickets"), "--anyauth", "-u", ":")), kim)
	})
	t.Run("no ticket", func(t *testing.T) {
		wantNoTicket(t, s.visit(t, nobody, "tickets"), http.StatusUnauthorized, negotiate, true)
		wantNoTicket(t, s.visit(t, nobody, "only-tickets"), http.StatusUnauthorized, negotiate, false)
	})
	t.Run("no ticket but a password", func(t *testing.T) {
		wantClaims(t, s.mustEnter(t, "tickets", "kim", passwordOf("kim")), kim)
	})
	t.Run("realm that is trusted but not ours", func(t *testing.T) {
		elsewhere := s.at(t, kimElsewhere)
		wantNoTicket(t, s.visit(t, elsewhere, "tickets"), http.StatusUnauthorized, negotiate, true)
		wantNoTicket(t, s.visit(t, elsewhere, "only-tickets"), http.StatusUnauthorized, negotiate, false)
		wantNoTicket(t, s.visit(t, elsewhere, "whole-name"), http.StatusForbidden, "", false)
	})
	t.Run("holder who is not in the directory", func(t *testing.T) {
		at := s.at(t, ghost)
		wantNoTicket(t, s.visit(t, at, "tickets"), http.StatusOK, "", true)
		wantPage(t, s.visit(t, at, "only-tickets"), http.StatusForbidden, "you have no account here")
	})
	t.Run("holder who is not in an allowed group", func(t *testing.T) {
		wantPage(t, s.visit(t, home, "unix-users"), http.StatusForbidden, "not in a group")
	})
	t.Run("clock", func(t *testing.T) {
		for by, fine := range map[time.Duration]bool{
			30 * time.Second: true, -30 * time.Second: true, 2 * time.Minute: false, -2 * time.Minute: false,
		} {
			at := s.at(t, kimAtHome)
			must(t, at.ShiftClock(by))
			if p := s.visit(t, at, "tickets"); fine {
				s.enters(t, p)
			} else {
				wantNoTicket(t, p, http.StatusUnauthorized, rejected, true)
			}
		}
		s.wantLog(t, "KRB_AP_ERR_SKEW")
	})
	t.Run("key that is not in the keytab", func(t *testing.T) {
		for _, connector := range []string{"stale-keytab", "other-principal"} {
			wantNoTicket(t, s.visit(t, home, connector), http.StatusUnauthorized, rejected, true)
		}
	})
	t.Run("keytab that can't be read", func(t *testing.T) {
		wantNoTicket(t, s.visit(t, home, "no-keytab"), http.StatusOK, "", true)
		wantClaims(t, s.mustEnter(t, "no-keytab", "kim", passwordOf("kim")), kim)
		s.wantLog(t, "Kerberos is off: only passwords are accepted")
		w := newWorkstation(t, home)
		p := w.get(t, s.authURL("/auth/no-keytab-no-form", nil))
		if got := p.answer.Get("error"); got != "server_error" { // a file has to be fixed
			t.Errorf("without a form: status %d, answer %v: %s", p.status, p.answer, visibleText(p))
		}
	})
	t.Run("directory that is down", func(t *testing.T) {
		p := s.visit(t, home, "no-directory")
		wantNoTicket(t, p, http.StatusServiceUnavailable, "", true)
		wantPage(t, p, http.StatusServiceUnavailable, "log in with your password")
		wantNoTicket(t, s.visit(t, home, "no-directory-no-form"), http.StatusServiceUnavailable, "", false)
	})
	t.Run("ticket shown twice", func(t *testing.T) {
		s.checkReplay(t, home)
	})
	t.Run("refresh", func(t *testing.T) {
		s.checkRefreshByTicket(t, home)
	})
	t.Run("browsers", func(t *testing.T) {
		s.checkBrowsers(t)
	})
	t.Run("keytab that comes later", func(t *testing.T) {
		s.checkLateKeytab(t, kim)
	})
	t.Run("new keys", func(t *testing.T) {
		s.checkNewKeys(t, home, kim)
	})
}

func (s *kerberosSite) wantLog(t *testing.T, words string) {
	t.Helper()
	if !strings.Contains(s.log.String(), words) {
		t.Errorf("the log lacks %q", words)
	}
}

// checkReplay presents an eavesdropped ticket.
func (s *kerberosSite) checkReplay(t *testing.T, login servers.KerberosLogin) {
	t.Helper()
	w := newWorkstation(t, login)
	s.enters(t, w.get(t, s.form(t, w, "tickets"), "--negotiate", "-u", ":"))
	heard := w.shown
	if !strings.HasPrefix(heard, "Negotiate Y") {
		t.Fatalf("curl has shown %q", heard)
	}
	thief := newWorkstation(t, s.kdc.Nobody())
	wantNoTicket(t, thief.get(t, s.form(t, thief, "tickets"), "-H", "Authorization: "+heard), http.StatusUnauthorized, rejected, true)
	s.wantLog(t, "it was used before")
}

// checkRefreshByTicket refreshes logins by ticket, before and after their user is removed.
func (s *kerberosSite) checkRefreshByTicket(t *testing.T, login servers.KerberosLogin) {
	t.Helper()
	kept, ended := s.enters(t, s.visit(t, login, "tickets")), s.enters(t, s.visit(t, login, "tickets"))
	if kept = s.mustRefresh(t, kept.RefreshToken); kept.status != http.StatusOK {
		t.Errorf("refresh: status %d, error %q", kept.status, kept.Error)
	}
	change(t, s.directory, "dn: "+kimDN+"\nchangetype: modrdn\nnewrdn: uid=gone\ndeleteoldrdn: 1\n")
	gone := s.mustRefresh(t, ended.RefreshToken)
	change(t, s.directory, "dn: uid=gone,"+ldapPeople+"\nchangetype: modrdn\nnewrdn: uid=kim\ndeleteoldrdn: 1\n")
	if gone.Error != "invalid_grant" {
		t.Errorf("refresh of somebody who is gone: status %d, error %q", gone.status, gone.Error)
	}
}

// checkLateKeytab gives a connector the keytab that was missing at the start.
func (s *kerberosSite) checkLateKeytab(t *testing.T, kim personClaims) {
	t.Helper()
	s.newKeys(t, "none", "")
	w := newWorkstation(t, s.at(t, kimAtHome))
	var form string
	// The server has been trying to open it since the start, with pauses of up to a minute by now if the machine is busy.
	const longestPause = time.Minute
	eventually(t, longestPause+patience, "the connector is opened", func() bool {
		form = w.get(t, s.authURL("/auth/no-keytab-no-form", nil)).header.Get("Location")
		return strings.Contains(form, "/login")
	})
	wantClaims(t, s.enters(t, w.get(t, form, "--negotiate", "-u", ":")), kim)
}

// checkNewKeys gives the service new keys of each encryption type while the server runs.
func (s *kerberosSite) checkNewKeys(t *testing.T, old servers.KerberosLogin, kim personClaims) {
	t.Helper()
	s.enters(t, s.visit(t, old, "tickets"))
	for _, encryption := range []string{
		"aes256-cts-hmac-sha1-96:normal", "aes128-cts-hmac-sha1-96:normal",
		"aes256-cts-hmac-sha384-192:normal", "aes128-cts-hmac-sha256-128:normal",
	} {
		s.newKeys(t, "good", encryption)
		at := s.at(t, kimAtHome)
		var p *page
		eventually(t, patience, "the server takes tickets of the new key, "+encryption, func() bool {
			p = s.visit(t, at, "tickets")
			return p.answer != nil
		})
		wantClaims(t, s.enters(t, p), kim)
		s.enters(t, s.visit(t, old, "tickets"))
	}
	s.wantLog(t, "keytab has changed")
}

// newBrowserOf starts the browser of a user with a Kerberos login. It sends tickets to the servers with these names.
func newBrowserOf(t *testing.T, login servers.KerberosLogin, names string) *tab {
	t.Helper()
	profile, err := os.MkdirTemp("", "dex-chromium-")
	must(t, err)
	t.Cleanup(func() { // runs after the browser's end, which its children may outlive for a moment
		eventually(t, patience, "the profile is removed", func() bool { return os.RemoveAll(profile) == nil })
	})
	// Chromium for Linux sends no tickets after its first start: its network process is in a sandbox then, without Kerberos.
	// Once it has met a server that asks for tickets, it notes that here, and starts without that sandbox next time.
	writeFile(t, profile, "Local State", `{"net": {"received_http_auth_negotiate_headers": true}}`)
	return newBrowser(t, chromedp.UserDataDir(profile), chromedp.Env(login.Environment...),
		chromedp.Flag("auth-server-allowlist", names))
}

// choose begins a login of the example application with a connector.
func (b *tab) choose(app, connector, then string) {
	b.t.Helper()
	b.open(app)
	b.click("#login-button", loginChoice)
	link := chromedp.Search(`//a[normalize-space(.)="Log in with ` + connector + `"]`)
	b.leave(chromedp.Click(link, chromedp.NodeVisible), then)
}

// checkBrowsers signs in with browsers as users do.
func (s *kerberosSite) checkBrowsers(t *testing.T) {
	t.Helper()
	home, elsewhere := s.at(t, kimAtHome), s.at(t, kimElsewhere)
	for name, c := range map[string]struct {
		login            servers.KerberosLogin
		names, connector string
		form             bool // it comes, and the password does
		log              string
	}{
		"with a ticket":                  {home, "localhost", "tickets", false, ""},
		"with a ticket that is refused":  {home, "localhost", "stale-keytab", true, "KRB_AP_ERR_NOKEY"},
		"with a ticket of another realm": {elsewhere, "localhost", "tickets", true, "it is from another realm"},
		"with a ticket but no account":   {s.at(t, ghost), "localhost", "tickets", true, "is not in the directory"},
		"with a ticket for others":       {home, "example.org", "tickets", true, ""},
		"without a ticket":               {s.kdc.Nobody(), "localhost", "tickets", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			told := len(s.log.String())
			b := newBrowserOf(t, c.login, c.names)
			then := "#claims"
			if c.form {
				then = passwordForm
			}
			b.choose(s.app, c.connector, then)
			if log := s.log.String()[told:]; !strings.Contains(log, c.log) {
				t.Errorf("the log does not say %q", c.log)
			}
			if c.form {
				b.enterPassword("kim", passwordOf("kim"), "#claims")
			}
			b.wantText("#claims", "kim@example.org")
		})
	}
	t.Run("without a ticket or a form", func(t *testing.T) {
		b := newBrowserOf(t, s.kdc.Nobody(), "localhost")
		b.choose(s.app, "only-tickets", "main")
		b.wantText("main", "didn't send a valid Kerberos ticket")
	})
}
