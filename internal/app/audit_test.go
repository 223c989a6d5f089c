package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/audit"
	"dex/internal/config"
)

const auditKey = "a key of an audit that has more than enough bytes"

// An audited server writes its audit to a file.
type audited struct {
	*server
	core *app.Core
	path string
	ends func() // closes the server, once
}

// startAudited runs a server with an audit in a file of its own. The settings follow those of the outputs.
func startAudited(t *testing.T, yaml, settings string) *audited {
	t.Helper()
	return startAuditedAt(t, filepath.Join(t.TempDir(), "audit.log"), yaml, settings, nil)
}

func startAuditedAt(t *testing.T, path, yaml, settings string, log io.Writer) *audited {
	t.Helper()
	yaml += "audit:\n  outputs: [{type: file, path: '" + path + "'}]\n" + settings
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	if log == nil {
		log = io.Discard
	}
	core, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.NewTextHandler(log, nil)), WrapStore: withKeys(t, plan, nil)})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	ends := func() {
		if closed {
			return
		}
		closed = true
		if err := core.Close(); err != nil && path != "/dev/full" { // where records can't but be lost
			t.Error(err)
		}
	}
	t.Cleanup(ends)
	return &audited{&server{t: t, handler: core.Handler()}, core, path, ends}
}

// A record is a line of an audit.
type record map[string]any

// text returns a member, or a member of a member, as a text; empty if it is absent.
func (r record) text(names ...string) string {
	var value any = map[string]any(r)
	for _, name := range names {
		members, _ := value.(map[string]any)
		value = members[name]
	}
	switch value := value.(type) {
	case string:
		return value
	case nil:
		return ""
	}
	encoded, _ := json.Marshal(value)
	return string(encoded)
}

// records ends the server, and returns what its audit has, which must be whole.
func (s *audited) records() []record {
	s.t.Helper()
	s.ends()
	return readAudit(s.t, s.path)
}

func readAudit(t testing.TB, path string) []record {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	for line := range strings.Lines(string(text)) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, r)
	}
	return all
}

// verified returns the breaks and the notes about files.
func verified(t testing.TB, key string, files ...string) (breaks, notes []string) {
	t.Helper()
	v, err := audit.NewVerifier([]byte(key), func(b audit.Break) { breaks = append(breaks, b.String()) })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range audit.InOrder(files) {
		if err := v.File(name); err != nil {
			t.Fatal(err)
		}
	}
	return breaks, v.Notes()
}

// from says where a request comes from, and by which program.
func from(address, program string) func(*http.Request) {
	return func(r *http.Request) {
		r.SetBasicAuth("app", "app-secret")
		r.RemoteAddr = address + ":1234"
		r.Header.Set("User-Agent", program)
	}
}

// What happened to a refresh token that was stolen can be read from the audit alone.
func TestAuditTellsOfAStolenRefreshToken(t *testing.T) {
	const owner, thief = "203.0.113.9", "198.51.100.66"
	s := startAudited(t, eventful, "  key: "+auditKey+"\n")
	code := s.code()
	first := s.token(codeForm(code), from(owner, "app/1")).wantStatus(http.StatusOK).text("refresh_token")
	second := s.token(refreshForm(first), from(owner, "app/1")).wantStatus(http.StatusOK).text("refresh_token")
	stolen := s.token(refreshForm(second), from(thief, "curl/8")).wantStatus(http.StatusOK)
	s.token(refreshForm(second), from(owner, "app/1")).wantError(http.StatusBadRequest, "invalid_grant")
	s.token(refreshForm(stolen.text("refresh_token")), from(thief, "curl/8")).wantError(http.StatusBadRequest, "invalid_grant")

	all := s.records()
	at := slices.IndexFunc(all, func(r record) bool { return r["type"] == "login.granted" })
	if at < 0 {
		t.Fatalf("no login was granted: %v", all)
	}
	login := all[at].text("login")
	var trail []string
	for _, r := range all {
		if r.text("login") == login && login != "" {
			trail = append(trail, strings.Join([]string{
				r.text("type"), r.text("reason"), r.text("grant"), r.text("generation"), r.text("address"), r.text("userAgent"), r.text("user", "id"),
			}, "|"))
		}
		if r["type"] == "token.issued" && r.text("token") == "" {
			t.Errorf("the token has no name: %v", r)
		}
	}
	const user = "|0-385-28089-0"
	want := []string{
		"login.granted||||192.0.2.1|" + user,
		"token.issued||authorization_code||" + owner + "|app/1" + user,
		"token.issued||refresh_token|0|" + owner + "|app/1" + user,
		"token.issued||refresh_token|1|" + thief + "|curl/8" + user,
	}
	if len(trail) < len(want) || !slices.Equal(trail[:len(want)], want) {
		t.Errorf("the trail begins\n%s\nwant\n%s", strings.Join(trail, "\n"), strings.Join(want, "\n"))
	}
	end := []string{
		"refresh.reused|refresh_reused||1|" + owner + "|app/1" + user,
		"login.ended|refresh_reused|||" + owner + "|app/1" + user,
		"token.refused|invalid_grant|refresh_token||" + owner + "|app/1" + user,
		"token.refused|invalid_grant|refresh_token||" + thief + "|curl/8|",
	}
	if len(trail) < len(end) || !slices.Equal(trail[len(trail)-len(end):], end) {
		t.Errorf("the trail ends\n%s\nwant\n%s", strings.Join(trail, "\n"), strings.Join(end, "\n"))
	}
	if breaks, _ := verified(t, auditKey, s.path); len(breaks) > 0 {
		t.Errorf("the chain is broken: %v", breaks)
	}
	if breaks, _ := verified(t, "", s.path); len(breaks) != len(all) {
		t.Errorf("without the key %d of %d records are broken", len(breaks), len(all))
	}
}

func TestAuditFollowsItsSchema(t *testing.T) {
	schema, err := recordSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"full", "hashed", "none"} {
		s := startAudited(t, eventful, "  key: "+auditKey+"\n  personalData: "+mode+"\n")
		live(t, s.server)
		all := s.records()
		for _, r := range all {
			if err := schema.Validate(map[string]any(r)); err != nil {
				t.Errorf("%s: %v: %v", mode, r, err)
			}
		}
		if breaks, _ := verified(t, auditKey, s.path); len(breaks) > 0 {
			t.Errorf("%s: the chain is broken: %v", mode, breaks)
		}
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		people := []string{"Kilgore", "kilgore.trout", "0-385-28089-0", "admin@example.com", "08a8684b", "192.0.2.1"}
		for _, personal := range people {
			if found := bytes.Contains(text, []byte(personal)); found != (mode == "full") {
				t.Errorf("%s: that the audit has %s is %t", mode, personal, found)
			}
		}
		for _, secret := range []string{"app-secret", "old-secret", auditKey} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s: the audit has the secret %s", mode, secret)
			}
		}
		if mode == "hashed" {
			wantEqualHashes(t, all)
		}
	}
}

// wantEqualHashes checks that a user can be followed although nobody learns who they are.
func wantEqualHashes(t *testing.T, all []record) {
	t.Helper()
	users := map[string]int{}
	for _, r := range all {
		if id := r.text("user", "id"); id != "" {
			if !strings.HasPrefix(id, "hmac:") {
				t.Errorf("a user is named %s", id)
			}
			users[id]++
		}
	}
	if len(users) != 2 {
		t.Errorf("two users are %v", users)
	}
}

func TestAuditOfALoginThatIsRefused(t *testing.T) {
	s := startAudited(t, eventful, "")
	b := s.browser()
	b.post(b.consent(), url.Values{"approval": {"rejected"}})
	b.post(b.passwordForm(), url.Values{"login": {"admin@example.com"}, "password": {"wrong"}}).wantStatus(http.StatusUnauthorized)
	var got []string
	for _, r := range s.records() {
		got = append(got, r.text("type")+" "+r.text("outcome")+" "+r.text("reason"))
	}
	want := []string{
		"audit.started success ", "login.succeeded success ", "login.refused failure access_denied",
		"login.password_wrong failure password_wrong", "audit.stopped success ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the audit has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
