package seal_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/seal"
	"dex/internal/store/memory"
)

func TestOnlyThePurposeOpens(t *testing.T) {
	ring, err := seal.Open(t.Context(), memory.New(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sealed := ring.Seal("login:a", []byte("secret"))
	if got, err := ring.Open(t.Context(), "login:a", sealed); err != nil || string(got) != "secret" {
		t.Fatalf("got %q, %v; want the text back", got, err)
	}
	for name, try := range map[string][2]string{
		"another purpose": {"login:b", sealed},
		"changed":         {"login:a", sealed[:len(sealed)-2] + "AA"},
		"cut":             {"login:a", sealed[:20]},
		"empty":           {"login:a", ""},
		"not base64":      {"login:a", "***"},
	} {
		if _, err := ring.Open(t.Context(), try[0], try[1]); !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestReplicasShareKeysAcrossRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		a, err := seal.Open(t.Context(), s, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		b, err := seal.Open(t.Context(), s, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		old := a.Seal("p", []byte("old"))

		time.Sleep(8 * 24 * time.Hour)
		if err := a.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh := a.Seal("p", []byte("new"))
		for want, sealed := range map[string]string{"old": old, "new": fresh} {
			if got, err := b.Open(t.Context(), "p", sealed); err != nil || string(got) != want {
				t.Fatalf("the other replica got %q, %v; want %q", got, err, want)
			}
		}

		time.Sleep(30 * 24 * time.Hour)
		for range 2 { // the second drops what the first left as the newest but one
			if err := a.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(8 * 24 * time.Hour)
		}
		if _, err := a.Open(t.Context(), "p", old); !errors.Is(err, seal.ErrInvalid) {
			t.Fatalf("a text of a key long gone: got %v, want ErrInvalid", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	ring, err := seal.Open(f.Context(), memory.New(), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ring.Seal("other", []byte("text")))
	f.Add("")
	f.Fuzz(func(t *testing.T, sealed string) {
		if _, err := ring.Open(t.Context(), "purpose", sealed); !errors.Is(err, seal.ErrInvalid) {
			t.Fatalf("got %v, want ErrInvalid", err)
		}
	})
}
