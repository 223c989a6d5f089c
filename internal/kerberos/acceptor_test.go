package kerberos_test

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/kerberos"
	"dex/internal/kerberos/kerberostest"
)

const skew = 5 * time.Minute

var client = netip.MustParseAddr("192.0.2.7")

// seen remembers the keys that it was given.
type seen struct {
	mu   sync.Mutex
	keys map[string]time.Time
	down bool
}

func (s *seen) once(_ context.Context, key string, until time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return false, errors.New("storage is down")
	}
	_, known := s.keys[key]
	s.keys[key] = until
	return !known, nil
}

func open(t testing.TB, s kerberos.Settings) (*kerberos.Acceptor, *seen) {
	t.Helper()
	memory := &seen{keys: map[string]time.Time{}}
	s.Skew, s.Log, s.Once = skew, slog.New(slog.DiscardHandler), memory.once
	if s.Keytab == "" {
		s.Keytab = filepath.Join(t.TempDir(), "keytab")
		kerberostest.WriteKeytab(t, s.Keytab, "secret")
	}
	a, err := kerberos.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return a, memory
}

func TestTickets(t *testing.T) {
	now := time.Now().UTC()
	for name, c := range map[string]struct {
		settings kerberos.Settings
		edit     func(*kerberostest.Ticket)
		fine     bool
	}{
		"good":                   {fine: true},
		"Microsoft's OID":        {edit: func(s *kerberostest.Ticket) { s.Mechanism = kerberostest.Microsoft }, fine: true},
		"NTLM first":             {edit: func(s *kerberostest.Ticket) { s.Mechanism = kerberostest.NTLM }},
		"another key":            {edit: func(s *kerberostest.Ticket) { s.Password = "other" }},
		"expired":                {edit: func(s *kerberostest.Ticket) { s.End = now.Add(-skew - time.Minute) }},
		"not yet":                {edit: func(s *kerberostest.Ticket) { s.Start = now.Add(skew + time.Minute) }},
		"a clock that is slow":   {edit: func(s *kerberostest.Ticket) { s.Clock = now.Add(-skew - time.Minute) }},
		"a clock that is fast":   {edit: func(s *kerberostest.Ticket) { s.Clock = now.Add(skew + time.Minute) }},
		"a little skew":          {edit: func(s *kerberostest.Ticket) { s.Clock = now.Add(-skew / 2) }, fine: true},
		"realm it claims itself": {edit: func(s *kerberostest.Ticket) { s.Realm, s.Claimed = "EVIL.ORG", kerberostest.Realm }},
		"another name for us":    {edit: func(s *kerberostest.Ticket) { s.Service = "HTTP/alias.example.org" }},
		"another name for us, configured": {
			settings: kerberos.Settings{Principal: kerberostest.Service + "@" + kerberostest.Realm},
			edit:     func(s *kerberostest.Ticket) { s.Service = "HTTP/alias.example.org" }, fine: true,
		},
		"nobody": {edit: func(s *kerberostest.Ticket) { s.Name = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := open(t, c.settings)
			s := kerberostest.New()
			if c.edit != nil {
				c.edit(&s)
			}
			got, err := a.Accept(t.Context(), s.Header(t), client)
			refused, isRefused := errors.AsType[*kerberos.RefusedError](err)
			switch {
			case c.fine && (err != nil || got != kerberos.Ticket{Name: "jane", Realm: kerberostest.Realm}):
				t.Errorf("%+v, %v", got, err)
			case !c.fine && (!isRefused || refused.Answer != kerberos.Rejected):
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	a, _ := open(t, kerberos.Settings{})
	bare := "Negotiate " + base64.StdEncoding.EncodeToString(kerberostest.New().Bare(t))
	for name, c := range map[string]struct {
		header string
		answer string // of a refusal
		none   bool
	}{
		"nothing":            {"", "", true},
		"another scheme":     {"Basic amFuZTpz", "", true},
		"without SPNEGO":     {bare, "", false},
		"scheme in any case": {strings.Replace(kerberostest.New().Header(t), "Negotiate ", "  nEGOTIATE   ", 1), "", false},
		"no base64":          {"Negotiate %%%", kerberos.Incomplete, false},
		"no token":           {"Negotiate " + base64.StdEncoding.EncodeToString([]byte("hello")), kerberos.Incomplete, false},
		"NTLM alone":         {"Negotiate TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAGFKAAAADw==", kerberos.Incomplete, false},
		"too long":           {"Negotiate " + strings.Repeat("A", 200<<10), kerberos.Rejected, false},
		"empty":              {"Negotiate", kerberos.Incomplete, false},
	} {
		_, err := a.Accept(t.Context(), c.header, client)
		refused, isRefused := errors.AsType[*kerberos.RefusedError](err)
		switch {
		case errors.Is(err, kerberos.ErrNoTicket) != c.none, c.answer == "" && !c.none && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.answer != "" && (!isRefused || refused.Answer != c.answer):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTicketsCountOnce(t *testing.T) {
	a, memory := open(t, kerberos.Settings{})
	header := kerberostest.New().Header(t)
	if _, err := a.Accept(t.Context(), header, client); err != nil {
		t.Fatal(err)
	}
	_, err := a.Accept(t.Context(), header, client)
	if _, ok := errors.AsType[*kerberos.RefusedError](err); !ok {
		t.Errorf("again: %v", err)
	}
	memory.down = true
	got, err := a.Accept(t.Context(), kerberostest.New().Header(t), client)
	if _, isRefused := errors.AsType[*kerberos.RefusedError](err); err == nil || isRefused {
		t.Errorf("with a storage that is down: %+v, %v", got, err)
	}
}

func TestKeytabThatChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keytab")
	kerberostest.WriteKeytab(t, path, "secret")
	a, _ := open(t, kerberos.Settings{Keytab: path})
	next := kerberostest.New()
	next.Password = "next"
	accepts := func(s kerberostest.Ticket) bool {
		_, err := a.Accept(t.Context(), s.Header(t), client)
		return err == nil
	}
	if !accepts(kerberostest.New()) || accepts(next) {
		t.Fatal("the first keytab is not used")
	}
	kerberostest.WriteKeytab(t, path, "next")
	for begun := time.Now(); !accepts(next); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("the new keytab is not used")
		}
		next.Clock = time.Now().UTC()
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < 1200*time.Millisecond; time.Sleep(100 * time.Millisecond) {
		if next.Clock = time.Now().UTC(); !accepts(next) {
			t.Fatal("a keytab that can't be read drops the old keys")
		}
	}
}

func TestBadKeytabs(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"rubbish": "rubbish", "empty": "", "no keys": "\x05\x02", "cut": "\x05\x02\x00\x00\x00\x50\x00"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := kerberos.Open(kerberos.Settings{Keytab: path}); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	for _, path := range []string{filepath.Join(dir, "missing"), dir, ""} {
		if _, err := kerberos.Open(kerberos.Settings{Keytab: path}); err == nil {
			t.Errorf("%q opens", path)
		}
	}
}

func FuzzAccept(f *testing.F) {
	a, _ := open(f, kerberos.Settings{})
	f.Add(kerberostest.New().Header(f))
	f.Add("Negotiate " + base64.StdEncoding.EncodeToString(kerberostest.New().Bare(f)))
	f.Add("Negotiate oRQwEqADCgEBoQsGCSqGSIb3EgECAg==")
	good := map[string]bool{kerberostest.New().Header(f): true}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := a.Accept(t.Context(), header, client)
		if err == nil && !good[header] && got != (kerberos.Ticket{Name: "jane", Realm: kerberostest.Realm}) {
			t.Errorf("%q signs in %+v", header, got)
		}
	})
}
