package app_test

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/app"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/mail/mailtest"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// selfService has everything switched on.
const selfService = withSessions + "sessions: {}\nlocalUsers: {passwordReset: true, verifyEmail: true, invitations: true, passwordHash: bcrypt}\n"

// A helpDesk is a server whose users help themselves, with the mail that it sends.
type helpDesk struct {
	*server
	core   *app.Core
	post   *mailtest.Server
	store  store.Store
	users  *store.Table[local.User]
	log    *guarded
	events *recorder
}

var hashOfPassword = sync.OnceValue(func() []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	return hash
})

// openDesk returns a help desk. Its storage has the users jane, who has a password and an address that isn't verified, bob, who is
// blocked, sam, whose login name is no address, and new, who has no password yet.
func openDesk(t *testing.T) *helpDesk {
	t.Helper()
	d := &helpDesk{post: mailtest.Start(t, mailtest.Settings{Security: "starttls"}), store: memory.New(), log: &guarded{}}
	d.users = store.In(d.store, local.Kind)
	never := local.Hash("$2a$10$" + strings.Repeat("X", 53))
	for _, u := range []local.User{
		{Email: "Jane@example.com", Hash: hashOfPassword(), UserID: "jane", Username: "jane", EmailVerified: new(false)},
		{Email: "bob@example.com", Hash: hashOfPassword(), UserID: "bob", Username: "bob"},
		{Email: "sam", Hash: hashOfPassword(), UserID: "sam", Username: "sam"},
		{Email: "new@example.com", Hash: never, UserID: "new", Username: "new", EmailVerified: new(false)},
	} {
		if _, err := d.users.Create(t.Context(), local.Key(u.Email), u); err != nil {
			t.Fatal(err)
		}
	}
	blocked := identity.Identity{UserID: "bob", ConnectorID: federation.LocalID, BlockedUntil: time.Now().Add(time.Hour)}
	if _, err := store.In(d.store, identity.Kind).Create(t.Context(), identity.Key("bob", federation.LocalID), blocked); err != nil {
		t.Fatal(err)
	}
	d.events = &recorder{}
	d.core = d.replica(t, func(s store.Store) store.Store { return s })
	d.server = &server{t: t, handler: d.core.Handler()}
	sendMails(t, d.core)
	return d
}

// sendMails sends the mails of a server until the test ends.
func sendMails(t *testing.T, core *app.Core) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { core.SendMails(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
}

// replica returns another server on the same storage, with something around it.
func (d *helpDesk) replica(t *testing.T, wrap func(store.Store) store.Store) *app.Core {
	t.Helper()
	return d.open(t, selfService, wrap)
}

// open is replica with another configuration.
func (d *helpDesk) open(t *testing.T, yaml string, wrap func(store.Store) store.Store) *app.Core {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, d.post.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, yaml+d.post.Config(ca), func(inner store.Store) store.Store {
		if r, err := inner.Get(t.Context(), "keys", "openid-connect-keys"); err == nil {
			r.Revision = ""
			_, _ = d.store.Create(t.Context(), r) // only the first one does
		}
		return wrap(d.store)
	}, func(o *app.Options) {
		o.Log = slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Events = append(o.Events, d.events)
	})
}

// guarded is a log that several servers write.
type guarded struct {
	mu sync.Mutex
	w  bytes.Buffer
}

// String returns what was written.
func (g *guarded) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.String()
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(p)
}

// user returns a stored user.
func (d *helpDesk) user(email string) local.User {
	d.t.Helper()
	e, err := d.users.Get(d.t.Context(), email)
	if err != nil {
		d.t.Fatal(err)
	}
	return e.Value
}

// path returns the path and the query of the link in a mail.
func linkIn(t *testing.T, m mailtest.Mail) string {
	t.Helper()
	found := regexp.MustCompile(`http://dex\.test(/dex/\S+token=\S+)`).FindStringSubmatch(m.Text)
	if found == nil || !strings.Contains(m.HTML, html.EscapeString("http://dex.test"+found[1])) {
		t.Fatalf("no link, or not the same one, in %s and %s", m.Text, m.HTML)
	}
	return found[1]
}

func tokenOf(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}

func passwordsForm(t *testing.T, link, password string) url.Values {
	t.Helper()
	return form("token", tokenOf(t, link), "password", password, "password_again", password)
}

// asksReset asks for a link.
func (b *browser) asksReset(email string) answer {
	b.t.Helper()
	return b.post("/dex/reset", form("email", email))
}

// mayLogIn tries a password at the shop.
func (d *helpDesk) mayLogIn(email, password string) bool {
	d.t.Helper()
	b := d.browser()
	path := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	return b.post(path, form("login", email, "password", password)).status == http.StatusSeeOther
}

func (b *browser) janesLogin() answer {
	b.t.Helper()
	path := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	return b.redeem("shop", b.post(path, form("login", "jane@example.com", "password", "password")).wantStatus(http.StatusSeeOther))
}

func TestPasswordReset(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	elsewhere := d.browser()
	tokens := elsewhere.janesLogin()

	b := d.browser()
	loginPage := b.visit(b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).location().String()).wantStatus(http.StatusOK)
	found := regexp.MustCompile(`id="forgot" href="([^"]+)"`).FindStringSubmatch(loginPage.body)
	if found == nil {
		t.Fatalf("no way to the reset in %s", loginPage.body)
	}
	asking := b.visit(html.UnescapeString(found[1])).wantStatus(http.StatusOK)
	fields := form("email", " jane@EXAMPLE.com ")
	for _, field := range regexp.MustCompile(`type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(asking.body, -1) {
		fields.Set(field[1], field[2])
	}
	sent := b.post("/dex/reset", fields).wantStatus(http.StatusOK)
	if !strings.Contains(sent.body, "If there is an account for") || sent.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s", sent.body)
	}
	m := d.post.Next(t)
	if m.To != "Jane@example.com" || !m.Encrypted || !strings.Contains(m.Text, "log in to Shop") || m.Subject != "Set a new password for dex" {
		t.Errorf("the mail is %+v", m)
	}
	link := linkIn(t, m)

	// A program that looks at mail, and another browser: neither sets anything, nor uses anything up.
	for _, other := range []*browser{d.browser(), elsewhere} {
		if a := other.visit(link).wantStatus(http.StatusForbidden); !strings.Contains(a.body, html.EscapeString(link)) {
			t.Errorf("the link can't be copied from %s", a.body)
		}
		other.post("/dex/reset/password", passwordsForm(t, link, "another one")).wantStatus(http.StatusForbidden)
	}
	b.visit(link).wantStatus(http.StatusOK)
	if a := b.post("/dex/reset/password", passwordsForm(t, link, "short")).wantStatus(http.StatusBadRequest); !strings.Contains(a.body, "at least 8 characters") {
		t.Errorf("got %s", a.body)
	}
	differing := passwordsForm(t, link, "correct horse")
	differing.Set("password_again", "battery staple")
	b.post("/dex/reset/password", differing).wantStatus(http.StatusBadRequest)
	if !d.mayLogIn("jane@example.com", "password") {
		t.Error("the password is gone before there is another one")
	}

	done := b.post("/dex/reset/password", passwordsForm(t, link, "correct horse")).wantStatus(http.StatusOK)
	if d.mayLogIn("jane@example.com", "password") || !d.mayLogIn("jane@example.com", "correct horse") {
		t.Error("the password isn't the new one")
	}
	if verified := d.user("jane@example.com").EmailVerified; verified == nil || !*verified {
		t.Error("the address isn't verified")
	}
	if a := elsewhere.visit(to("shop", "prompt", "none")); a.location().Query().Get("error") != "login_required" {
		t.Errorf("the session goes on: %s", a.location())
	}
	d.token(refreshForm(tokens.text("refresh_token")), asShop).wantStatus(http.StatusBadRequest)

	// The login that was interrupted goes on.
	found = regexp.MustCompile(`id="login" href="([^"]+)"`).FindStringSubmatch(done.body)
	if found == nil {
		t.Fatalf("no way back in %s", done.body)
	}
	back := b.post(html.UnescapeString(found[1]), form("login", "jane@example.com", "password", "correct horse"))
	if b.redeem("shop", back.wantStatus(http.StatusSeeOther)).text("id_token") == "" {
		t.Error("no tokens")
	}
	b.visit(link).wantStatus(http.StatusGone)
	if log := d.log.String(); strings.Contains(log, "token=") || strings.Contains(log, tokenOf(t, link)) || strings.Contains(log, "correct horse") {
		t.Errorf("the log has too much:\n%s", log)
	}
}

// A link is good once, at two replicas too, even if both are asked at the same time.
func TestResetLinkIsGoodOnce(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	b := d.browser()
	b.asksReset("jane@example.com").wantStatus(http.StatusOK)
	b.asksReset("jane@example.com").wantStatus(http.StatusOK)
	first, second := linkIn(t, d.post.Next(t)), linkIn(t, d.post.Next(t))
	there := &browser{server: &server{t: t, handler: d.replica(t, func(s store.Store) store.Store { return s }).Handler()}, jar: b.jar}
	var all sync.WaitGroup
	statuses := make([]int, 4)
	for i, at := range []*browser{b, there, b, there} {
		r := at.prepared("/dex/reset/password", passwordsForm(t, []string{first, second}[i/2], fmt.Sprintf("new password %d", i)))
		all.Go(func() { statuses[i] = at.do(r).status })
	}
	all.Wait()
	slices.Sort(statuses)
	if !slices.Equal(statuses, []int{http.StatusOK, http.StatusGone, http.StatusGone, http.StatusGone}) {
		t.Errorf("got %v", statuses)
	}
	for _, link := range []string{first, second} { // the browser of the jar still has its secret
		b.visit(link).wantStatus(http.StatusGone)
	}
}

// prepared is a form with the browser's cookies.
func (b *browser) prepared(path string, form url.Values) *http.Request {
	b.t.Helper()
	var sent *http.Request
	probe := &browser{server: &server{t: b.t, handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r })}, jar: b.jar}
	probe.post(path, form)
	return sent
}

// Nobody learns from the answer whether there is an account.
func TestResetTellsNothing(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	want := ""
	for _, email := range []string{"jane@example.com", "nobody@example.com", "bob@example.com", "admin@example.com"} {
		a := d.browser().asksReset(email).wantStatus(http.StatusOK)
		cookie := regexp.MustCompile(`=[a-z2-7]{52};`).ReplaceAllString(a.header.Get("Set-Cookie"), "=;")
		a.header.Del("Set-Cookie")
		a.header.Del("Content-Length")
		a.header.Del("X-Request-Id")
		got := fmt.Sprintf("%v %s %s", a.header, cookie, strings.ReplaceAll(a.body, email, "EMAIL"))
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", email, got, want)
		}
	}
	d.browser().asksReset("sam").wantStatus(http.StatusBadRequest) // for whom no mail is possible, whoever asks
	if m := d.post.Next(t); m.To != "Jane@example.com" {
		t.Errorf("a mail to %s", m.To)
	}
	var got []string
	eventually(t, func() bool {
		for _, e := range d.events.take() {
			if asked, ok := e.(event.PasswordResetAsked); ok {
				got = append(got, asked.UserID+": "+string(asked.Outcome))
			}
		}
		return len(got) == 4
	})
	if slices.Sort(got); !slices.Equal(got, []string{
		"08a8684b-db88-4b73-90a9-3cd1661f5466: the user is in the configuration", ": nobody has the address", "bob: the user is blocked", "jane: mailed",
	}) {
		t.Errorf("got %q", got)
	}
	d.post.None(t)
}

// Nobody's mailbox is filled by strangers, and the answer is the same for all addresses.
func TestResetIsLimited(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	for _, email := range []string{"jane@example.com", "nobody@example.com"} {
		for range 3 {
			d.browser().asksReset(email).wantStatus(http.StatusOK)
		}
		a := d.browser().asksReset(strings.ToUpper(email)).wantStatus(http.StatusTooManyRequests)
		if a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "Wait 20 minutes") || a.header.Get("Set-Cookie") != "" {
			t.Errorf("got %v %s", a.header, a.body)
		}
	}
	for i := range 14 {
		d.browser().asksReset(fmt.Sprintf("%d@example.com", i)).wantStatus(http.StatusOK)
	}
	d.browser().asksReset("another@example.com").wantStatus(http.StatusTooManyRequests)
}
