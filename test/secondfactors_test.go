package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A guarded is a server with second factors, and applications that ask for them. Browsers know it by a name, as WebAuthn wants it.
type guarded struct {
	*dex
	plain  *party // asks for nothing
	app    *party // asks for an authenticator app
	key    *party // asks for a security key
	device *party // asks for a device that recognizes its user
	either *party // asks for a security key or an app
	grpc   *grpc.ClientConn
	wire   *wire
}

// authenticators are what the tests' servers know.
var authenticators = []section{
	{"id": "app", "type": "TOTP", "config": section{"issuer": "Example"}},
	{"id": "key", "type": "WebAuthn", "config": section{
		"authenticatorAttachment": "cross-platform", "userVerification": "discouraged", "timeout": "4s",
	}},
	{"id": "device", "type": "WebAuthn", "config": section{"authenticatorAttachment": "platform", "userVerification": "required"}},
	{"id": "passkey", "type": "WebAuthn", "config": section{"passwordless": true}},
	{"id": "either", "type": "AnyOf", "config": section{"authenticators": []string{"key", "app"}}},
}

// withFactors adds second factors, and lets people in without asking for consent.
func (c *configuration) withFactors(connectors ...section) *configuration {
	port := c.issuer[strings.LastIndex(c.issuer, ":"):]
	c.withIssuer("http://localhost"+port).withoutConsent().with("sessions", section{"ssoSharedWithDefault": "all"})
	return c.with("connectors", connectors).with("mfa", section{"authenticators": authenticators})
}

// guard introduces the applications, before there is a server.
func guard(t *testing.T, c *configuration) *guarded {
	t.Helper()
	g := &guarded{}
	var clients []section
	for _, p := range []struct {
		at    **party
		name  string
		chain []string
	}{
		{&g.plain, "plain", []string{}}, {&g.app, "mail", []string{"app"}}, {&g.key, "vault", []string{"key"}},
		{&g.device, "bank", []string{"device"}}, {&g.either, "wiki", []string{"either"}},
	} {
		*p.at = startParty(t, p.name)
		clients = append(clients, (*p.at).client(section{"mfaChain": p.chain}))
	}
	c.with("staticClients", clients)
	return g
}

// of tells the applications of their server.
func (g *guarded) of(t *testing.T, d *dex) *guarded {
	t.Helper()
	g.dex = d
	for _, p := range []*party{g.plain, g.app, g.key, g.device, g.either} {
		p.of(t, d)
	}
	return g
}

// startGuarded starts a server with some people, who can be changed through its management API.
func startGuarded(t *testing.T, people ...string) *guarded {
	t.Helper()
	address := freeAddress(t)
	c := newConfiguration(t).withFactors().with("grpc", section{"addr": address})
	g := guard(t, c)
	g.of(t, startDex(t, c))
	g.wire = readWire(t)
	var err error
	if g.grpc, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.grpc.Close() })
	for _, name := range people {
		g.manage(t, "CreatePassword", section{"password": section{
			"email": name + "@example.org", "hash": base64.StdEncoding.EncodeToString([]byte(adminHash)), "username": name, "userId": name,
		}})
	}
	return g
}

// manage calls the management API.
func (g *guarded) manage(t *testing.T, rpc string, request section) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := g.wire.call(t.Context(), g.grpc, rpc, string(text)); err != nil || answer != "{}" {
		t.Fatalf("%s: %s, %v", rpc, answer, err)
	}
}

// Selectors of the pages of second factors.
const (
	keyForm    = "#webauthn-name"
	keyButton  = "#webauthn-btn"
	keyProblem = "#webauthn-error"
	codeField  = "#totp"
	codeButton = "#submit-login"
	wrongCode  = "#login-error"
	newCodes   = "#recovery-codes"
	codesSaved = "#submit-saved"
	choices    = "#factors"
)

// logIn begins a login at an application, types the password, and arrives at a page with an element.
func (b *tab) logIn(address, name, then string) {
	b.t.Helper()
	b.open(address)
	b.see(passwordForm)
	b.enterPassword(name+"@example.org", adminPassword, then)
}

// register gives a new key a name, and adds it.
func (b *tab) register(name, then string) {
	b.t.Helper()
	b.nameKey(name)
	b.click(keyButton, then)
}

// nameKey types a name in place of the one that the page's script suggests.
func (b *tab) nameKey(name string) {
	b.t.Helper()
	eventually(b.t, patience, "a name is suggested", func() bool {
		return evaluate[string](b, `document.querySelector("`+keyForm+`")?.value ?? ""`) != ""
	})
	b.fill(keyForm, name)
}

// factorClaims are claims of an ID token about how somebody has signed in.
type factorClaims struct {
	Methods  []string `json:"amr"`
	ACR      string   `json:"acr"`
	AuthTime int64    `json:"auth_time"`
}

// factorClaims waits until an application shows them.
func (b *tab) factorClaims() factorClaims {
	b.t.Helper()
	var c factorClaims
	if err := json.Unmarshal([]byte(b.text("#claims")), &c); err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(c.Methods)
	return c
}

// texts returns the texts of all elements that a selector finds.
func (b *tab) texts(selector string) []string {
	b.t.Helper()
	return evaluate[[]string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.innerText)`, selector))
}

// wantMethods checks how the user of the application that the tab shows has signed in.
func (b *tab) wantMethods(want ...string) {
	b.t.Helper()
	if got := b.factorClaims().Methods; !slices.Equal(got, want) {
		b.t.Errorf("amr is %v, want %v", got, want)
	}
}

// eachOnItsOwn runs checks at once, each for a person of its own.
func eachOnItsOwn(t *testing.T, checks map[string]func(t *testing.T, g *guarded, who string)) {
	t.Helper()
	name := func(check string) string { return strings.ReplaceAll(check, " ", "-") }
	var people []string
	for check := range checks {
		people = append(people, name(check))
	}
	g := startGuarded(t, people...)
	for which, check := range checks {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			check(t, g, name(which))
		})
	}
}

func TestSecondFactorsInABrowser(t *testing.T) {
	t.Parallel()
	eachOnItsOwn(t, map[string]func(*testing.T, *guarded, string){
		"security key": checkSecurityKey,
		"device":       checkDevice,
		"copied key":   checkCopiedKey,
		"choice":       checkChoice,
		"step up":      checkStepUp,
		"no scripts":   checkNoScripts,
	})
}

// checkSecurityKey sets up a security key at a login, and uses it in two browsers.
func checkSecurityKey(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	k := b.plugIn(plainKey)
	b.logIn(g.key.at(), who, keyForm)
	k.touch(false)
	b.fill(keyForm, "Blue key")
	b.do(chromedp.Click(chromedp.CSS(keyButton), chromedp.NodeVisible))
	b.wantText(keyProblem, "got no answer")
	k.touch(true)
	b.register("Blue key", newCodes)
	b.click(codesSaved, "#claims")
	b.wantMethods("hwk", "mfa", "pwd", "user")
	b.pass(g.plain.at()) // in the same session
	b.pass(g.key.at())
	b.logIn(g.key.at("prompt", "login"), who, "#claims")

	other := newBrowser(t)
	another := other.plugIn(plainKey)
	other.logIn(g.key.at(), who, keyProblem)
	other.wantText(keyProblem, "got no answer") // it is another key
	another.keep(k.credential())
	other.click(keyButton, "#claims")
	other.wantMethods("hwk", "mfa", "pwd", "user")
}

// checkDevice uses a device that is to recognize its user.
func checkDevice(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	k := b.plugIn(laptop)
	b.logIn(g.device.at(), who, keyForm)
	b.register("Laptop", newCodes)
	b.click(codesSaved, "#claims")
	b.wantMethods("mfa", "pwd", "swk", "user")

	k.recognize(false)
	b.logIn(g.device.at("prompt", "login"), who, keyProblem)
	b.wantText(keyProblem, "got no answer")
	k.recognize(true)
	b.click(keyButton, "#claims")

	// A key that was made for another site is none here, even if the browser has it.
	known := k.credential()
	k.lose(known)
	foreign := *known
	foreign.RpID = "example.org"
	k.keep(&foreign)
	b.logIn(g.device.at("prompt", "login"), who, keyProblem)
	b.wantText(keyProblem, "got no answer")
}

// checkCopiedKey has somebody use the copy of a key that has counted less than the key.
func checkCopiedKey(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	k := b.plugIn(plainKey)
	b.logIn(g.key.at(), who, keyForm)
	copied := func() *webauthn.Credential { c := *k.credential(); return &c }
	b.register("Key", newCodes)
	before := copied()
	b.click(codesSaved, "#claims")
	b.logIn(g.key.at("prompt", "login"), who, "#claims")

	k.lose(before)
	k.keep(before)
	b.logIn(g.key.at("prompt", "login"), who, keyProblem)
	b.wantText(keyProblem, "may have been copied")
	k.lose(before)
	later := *before
	later.SignCount += 10
	k.keep(&later)
	b.do(chromedp.Click(chromedp.CSS(keyButton), chromedp.NodeVisible))
	b.wantText(keyProblem, "may have been copied")

	b.open(g.issuer)
	b.wantText("#key-0", "no longer accepted")
}

// checkChoice sets up one of two factors, and has none at hand later.
func checkChoice(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	b.logIn(g.either.at(), who, choices)
	b.follow("Authenticator app", codeField)
	b.follow("Use another way", choices)
	b.plugIn(plainKey)
	b.follow("Security key", keyForm)
	b.register("Key", newCodes)
	codes := b.texts(newCodes + " code")
	if len(codes) != 10 {
		t.Fatalf("the page shows %d recovery codes: %v", len(codes), codes)
	}
	b.click(codesSaved, "#claims")

	other := newBrowser(t)
	other.plugIn(plainKey) // another one
	for i, code := range []string{codes[3], strings.ToLower(codes[7])} {
		other.logIn(g.either.at("prompt", "login"), who, "#use-recovery")
		other.follow("recovery code", "#recovery_code")
		if i > 0 {
			other.fill("#recovery_code", codes[3])
			other.click(codeButton, wrongCode)
		}
		other.fill("#recovery_code", code)
		other.click(codeButton, "#claims")
		other.wantMethods("mfa", "otp", "pwd")
	}
}

// checkStepUp has an application ask for more than it did before (RFC 9470). The user is asked for what is missing only.
func checkStepUp(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	b.logIn(g.plain.at(), who, "#claims")
	b.wantMethods("pwd")
	if got := b.factorClaims().ACR; got != "" {
		t.Errorf("for a password acr is %q", got)
	}
	b.wantAnswer(g.plain.at("acr_values", "phr", "prompt", "none"), "interaction_required")
	b.plugIn(laptop)
	b.open(g.plain.at("acr_values", "phrh phr"))
	b.see(choices)
	b.follow("device", keyForm)
	b.register("Laptop", newCodes)
	b.click(codesSaved, "#claims")
	first := b.factorClaims()
	if first.ACR != "phr" || !slices.Contains(first.Methods, "swk") {
		t.Errorf("a synchronized passkey gives %+v", first)
	}
	for _, address := range []string{g.plain.at("acr_values", "phr"), g.plain.at("acr_values", "phr", "prompt", "none"), g.plain.at()} {
		b.open(address)
		if got := b.factorClaims(); got.ACR != "phr" || got.AuthTime != first.AuthTime {
			t.Errorf("in the same session: %+v, want %+v", got, first)
		}
	}
}
