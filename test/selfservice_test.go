package e2e

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"dex/internal/connector/local"
	"dex/internal/store"
	"dex/internal/store/sqlite"
	"dex/test/servers"
)

// Somebody has forgotten their password, and sets another one by a mail that goes through a real server over STARTTLS.
func TestForgottenPassword(t *testing.T) {
	t.Parallel()
	server, err := servers.StartAiosmtpd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := newConfiguration(t).withoutConsent().
		with("mail", section{"from": "Dex <no-reply@dex.example>", "host": "127.0.0.1", "port": server.Port, "rootCA": server.CAFile}).
		with("localUsers", section{"passwordReset": true})
	storeUser(t, c.database, local.User{Email: "jane@example.com", Hash: local.Hash(adminHash), UserID: "jane", Username: "jane"})
	d := startDex(t, c)
	v := newVisitor(d.transport)
	form := walk(t, v, d.authURL("/auth", url.Values{"connector_id": {"local"}}), nil)
	asking := walk(t, v, d.absolute(t, hrefOf(t, form.body, "forgot")), nil)
	sent := walk(t, v, d.endpoint("/reset"), url.Values{"email": {"jane@example.com"}, "login": {hidden(t, asking.body, "login")}})
	if sent.status != http.StatusOK || !strings.Contains(sent.body, "If there is an account for") {
		t.Fatalf("status %d, %s", sent.status, sent.body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	text, err := server.Mail(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.log)
	}
	link := regexp.MustCompile(regexp.QuoteMeta(d.issuer) + `/reset/password\?token=\S+`).FindString(plainText(t, text))
	if link == "" {
		t.Fatalf("no link in %s", text)
	}
	setting := walk(t, v, link, nil)
	done := walk(t, v, d.endpoint("/reset/password"), url.Values{
		"token": {hidden(t, setting.body, "token")}, "password": {"correct horse"}, "password_again": {"correct horse"},
	})
	if done.status != http.StatusOK {
		t.Fatalf("status %d, %s", done.status, done.body)
	}
	back := walk(t, v, d.absolute(t, hrefOf(t, done.body, "login")), url.Values{"login": {"jane@example.com"}, "password": {"correct horse"}})
	if back.answer.Get("code") == "" {
		t.Errorf("the login doesn't go on: %d %s", back.status, back.body)
	}
	if log := d.log.String(); strings.Contains(log, "token=") || strings.Contains(log, "correct horse") {
		t.Errorf("the log has too much:\n%s", log)
	}
}

// storeUser puts a user into a database before the server starts.
func storeUser(t *testing.T, database string, u local.User) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{File: database}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := store.In(s, local.Kind).Create(t.Context(), local.Key(u.Email), u); err != nil {
		t.Fatal(err)
	}
}

// walk opens a page, or sends a form there.
func walk(t *testing.T, v *visitor, address string, form url.Values) *page {
	t.Helper()
	var p *page
	var err error
	if form == nil {
		p, err = v.get(t.Context(), address)
	} else {
		p, err = v.post(t.Context(), address, form)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// absolute returns the address of a path at the server.
func (d *dex) absolute(t *testing.T, path string) string {
	t.Helper()
	base, err := url.Parse(d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	to, err := base.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return to.String()
}

func hrefOf(t *testing.T, body, id string) string {
	t.Helper()
	return captured(t, body, `id="`+id+`" href="([^"]+)"`)
}

func hidden(t *testing.T, body, name string) string {
	t.Helper()
	return captured(t, body, `type="hidden" name="`+name+`" value="([^"]*)"`)
}

func captured(t *testing.T, body, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no %s in %s", pattern, body)
	}
	return strings.ReplaceAll(found[1], "&amp;", "&")
}

// plainText returns the plain text of a mail of two forms.
func plainText(t *testing.T, text []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(quotedprintable.NewReader(part))
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
