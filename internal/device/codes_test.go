package device_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"dex/internal/answer/answertest"
	"dex/internal/device"
	"dex/internal/oauth"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

func newCodes(s store.Store) *device.Codes {
	return device.NewCodes(s, time.Minute, answertest.New(s, time.Now), time.Now)
}

// begin makes a device wait, and returns its codes and its name.
func begin(t *testing.T, codes *device.Codes) (device.Issued, device.Name) {
	t.Helper()
	issued, err := codes.Begin(t.Context(), device.Request{ClientID: "app"})
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := codes.Find(t.Context(), issued.UserCode)
	if err != nil {
		t.Fatal(err)
	}
	return issued, waiting.Name
}

// by is what a login lets a device have.
func by(login string) token.Authorization {
	return token.Authorization{ClientID: "app", GrantID: login}
}

// refusedWith returns the code of an error for applications; empty for any other.
func refusedWith(err error) string {
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		return refused.Code
	}
	return ""
}

func TestUserCodeAsTyped(t *testing.T) {
	codes := newCodes(memory.New())
	issued, _ := begin(t, codes)
	code := issued.UserCode
	letters := strings.ReplaceAll(code, "-", "")
	for typed, known := range map[string]bool{
		code: true, letters: true, strings.ToLower(code): true, " " + code + ".\n": true,
		strings.Join(strings.Split(letters, ""), " "):  true,
		letters + "10AEIOUY":                           true, // are in no code
		code + strings.Repeat(" ", 32-len(code)):       true,
		code + strings.Repeat(" ", 32-len(code)) + " ": false, // too long to be looked at
		"":               false,
		letters[:7]:      false,
		letters + "B":    false,
		code + code:      false,
		letters + "\xff": true,
	} {
		_, err := codes.Find(t.Context(), typed)
		if known && err != nil || !known && !errors.Is(err, device.ErrUnknown) {
			t.Errorf("%q: got error %v", typed, err)
		}
	}
}

// taken has another device under each user code that is asked for, a number of times.
type taken struct {
	store.Store
	times int
	codes []string
}

func (s *taken) Create(ctx context.Context, r store.Record) (string, error) {
	s.codes = append(s.codes, r.Key)
	if len(s.codes) <= s.times {
		return "", store.ErrExists
	}
	return s.Store.Create(ctx, r)
}

func TestUserCodeIsTaken(t *testing.T) {
	s := &taken{Store: memory.New(), times: 2}
	codes := newCodes(s)
	issued, _ := begin(t, codes)
	if len(s.codes) != 3 || issued.UserCode != s.codes[2] {
		t.Errorf("tried %q, and gave %q", s.codes, issued.UserCode)
	}
	s.times = 1000
	if _, err := codes.Begin(t.Context(), device.Request{ClientID: "app"}); err == nil || len(s.codes) > 20 {
		t.Errorf("after %d user codes: got error %v", len(s.codes), err)
	}
}

// The first answer counts. Only the login that approved may say so again.
func TestFirstAnswerCounts(t *testing.T) {
	codes := newCodes(memory.New())
	issued, name := begin(t, codes)
	for _, step := range []struct{ login, refused string }{{"first", ""}, {"first", ""}, {"second", oauth.InvalidGrant}} {
		if err := codes.Approve(t.Context(), name, by(step.login)); refusedWith(err) != step.refused || step.refused == "" && err != nil {
			t.Errorf("approved by the %s login: got error %v", step.login, err)
		}
	}
	if err := codes.Deny(t.Context(), name); err != nil { // comes too late
		t.Error(err)
	}
	got, err := codes.Poll(t.Context(), issued.DeviceCode, "app")
	if err != nil || got.ClientID != "app" {
		t.Errorf("got %+v and error %v", got, err)
	}

	issued, name = begin(t, codes)
	if err := codes.Deny(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := codes.Approve(t.Context(), name, by("late")); refusedWith(err) != oauth.InvalidGrant {
		t.Errorf("approved after it was denied: got error %v", err)
	}
	if _, err := codes.Poll(t.Context(), issued.DeviceCode, "app"); refusedWith(err) != oauth.AccessDenied {
		t.Errorf("a denied device: got error %v", err)
	}
}

// A login that began for one device says nothing about a later one with the same user code.
func TestUserCodeOfALaterDevice(t *testing.T) {
	codes := newCodes(memory.New())
	issued, now := begin(t, codes)
	before := device.Name{UserCode: now.UserCode, ID: "another"}
	if err := codes.Approve(t.Context(), before, by("login")); refusedWith(err) != oauth.InvalidGrant {
		t.Errorf("approved by another name: got error %v", err)
	}
	if err := codes.Deny(t.Context(), before); err != nil {
		t.Error(err)
	}
	if _, err := codes.Poll(t.Context(), issued.DeviceCode, "app"); refusedWith(err) != oauth.AuthorizationPending {
		t.Errorf("the device: got error %v", err)
	}
}
