package local

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/connector"
	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/memory"
)

const usual = bcrypt.MinCost + 2

func hashed(t *testing.T, password string, cost int) []byte {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// database is one with a user in the storage, whose password is right.
func database(t *testing.T, cost int, lower bool) (*Database, *store.Table[User], *strings.Builder) {
	t.Helper()
	s := memory.New()
	table := store.In(s, Kind)
	if _, err := table.Create(t.Context(), "ann@example.com", User{Email: "Ann@example.com", Hash: hashed(t, "right", cost), UserID: "1"}); err != nil {
		t.Fatal(err)
	}
	configured := []*User{
		{Email: "cheap@example.com", Hash: hashed(t, "right", bcrypt.MinCost), UserID: "2"},
		{Email: "dear@example.com", Hash: hashed(t, "right", usual+2), UserID: "3"},
		{Email: "none@example.com", Hash: decoy(bcrypt.MinCost), UserID: "4"},
	}
	var log strings.Builder
	users := NewUsers(nil, s, slog.New(slog.DiscardHandler))
	c := &Config{Users: users.With(configured, Hashing{Cost: usual, Lower: lower}, &Policy{})}
	instance, err := c.Open(t.Context(), connector.Env{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return instance.(*Database), table, &log
}

// counted counts what the hashes of a database cost: in powers of two of bcrypt, and in KiB of argon2id.
func counted(t *testing.T, d *Database) (bcrypts, argon2ids *int) {
	bcrypts, argon2ids = new(int), new(int)
	d.users.passwords.with = &algorithms{
		bcrypt: func(hash, _ []byte) error {
			c, err := bcrypt.Cost(hash)
			if err != nil {
				t.Error(err)
			}
			*bcrypts += 1 << c
			return bcrypt.ErrMismatchedHashAndPassword
		},
		argon2id: func(a argon2id, _ []byte) []byte {
			*argon2ids += int(a.work())
			return make([]byte, len(a.sum))
		},
	}
	return bcrypts, argon2ids
}

// The time of a try told who exists: it was that of the user's own hash, and for everybody else that of the dearest.
var _ = faulttest.Add("R20", func(t *testing.T) {
	for _, stored := range []string{
		string(decoy(bcrypt.MinCost)), string(decoy(usual - 1)), string(decoy(usual)),
		phc(usualMemory, usualPasses, usualLanes), phc(usualMemory/4, 3, 1), phc(8, 1, 1), phc(12<<10, 3, 1),
	} {
		for _, argon2id := range []bool{true, false} {
			d, table, _ := database(t, usual, false)
			d.users.passwords.Argon2id = argon2id
			if _, err := table.Update(t.Context(), "ann@example.com", func(u *User) error { u.Hash = Hash(stored); return nil }); err != nil {
				t.Fatal(err)
			}
			bcrypts, argon2ids := counted(t, d)
			for _, email := range []string{"ann@example.com", "nobody@example.com", "cheap@example.com", "none@example.com", "", strings.Repeat("a", 5000)} {
				*bcrypts, *argon2ids = 0, 0
				if _, ok, err := d.Login(t.Context(), connector.Scopes{}, email, "wrong"); ok || err != nil {
					t.Errorf("%.20s: %t, %v", email, ok, err)
				}
				if *bcrypts != 1<<usual || *argon2ids != usualWork {
					t.Errorf("%s: %.20s: a wrong password costs %d and %d, want %d and %d", stored, email, *bcrypts, *argon2ids, 1<<usual, usualWork)
				}
			}
		}
	}
})

// phc is an argon2id hash that no password has.
func phc(memory, passes uint32, lanes uint8) string {
	return argon2id{memory, passes, lanes, make([]byte, 16), bytes.Repeat([]byte{1}, 32)}.String()
}

// Hashes of another cost are replaced when their password is known.
var _ = faulttest.Add("R21", func(t *testing.T) {
	for name, c := range map[string]struct {
		cost     int
		lower    bool
		replaced bool
	}{
		"cheap": {usual - 1, false, true}, "usual": {usual, true, false}, "dear": {usual + 1, true, true},
		"dear, and nobody has said that it may be less": {usual + 1, false, false},
	} {
		d, table, log := database(t, c.cost, c.lower)
		before, err := table.Get(t.Context(), "ann@example.com")
		if err != nil {
			t.Fatal(err)
		}
		login := func(password string, want bool) {
			t.Helper()
			if _, ok, err := d.Login(t.Context(), connector.Scopes{}, "ANN@example.com", password); ok != want || err != nil {
				t.Errorf("%s: %t, %v", name, ok, err)
			}
		}
		login("wrong", false)
		if now, err := table.Get(t.Context(), "ann@example.com"); err != nil || now.Revision != before.Revision {
			t.Errorf("%s: a wrong password has changed the user: %v", name, err)
		}
		login("right", true)
		now, err := table.Get(t.Context(), "ann@example.com")
		if err != nil {
			t.Fatal(err)
		}
		if replaced := now.Revision != before.Revision; replaced != c.replaced {
			t.Errorf("%s: replaced is %t", name, replaced)
		}
		want := c.cost
		if c.replaced {
			want = usual
		}
		if got, _ := bcrypt.Cost(now.Value.Hash); got != want || now.Value.UserID != "1" || now.Value.Email != "Ann@example.com" {
			t.Errorf("%s: cost %d, want %d: %+v", name, got, want, now.Value)
		}
		login("right", true)
		login("wrong", false)
		if again, err := table.Get(t.Context(), "ann@example.com"); err != nil || again.Revision != now.Revision {
			t.Errorf("%s: replaced again: %v", name, err)
		}
		if warned := strings.Contains(log.String(), "level=WARN"); warned != (c.cost > usual && !c.replaced) {
			t.Errorf("%s: logged:\n%s", name, log.String())
		}
		if strings.Contains(log.String(), "right") || strings.Contains(log.String(), "$2a$") {
			t.Errorf("%s: the log has a password or a hash:\n%s", name, log.String())
		}
	}
	t.Run("of the configuration", func(t *testing.T) {
		d, _, log := database(t, usual, true)
		for _, email := range []string{"cheap@example.com", "dear@example.com"} {
			if _, ok, err := d.Login(t.Context(), connector.Scopes{}, email, "right"); !ok || err != nil {
				t.Errorf("%s: %t, %v", email, ok, err)
			}
		}
		if strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "user=dear@example.com") {
			t.Errorf("logged:\n%s", log.String())
		}
	})
	t.Run("changed meanwhile", func(t *testing.T) {
		d, table, _ := database(t, usual-1, false)
		u, err := d.users.ByEmail(t.Context(), "ann@example.com")
		if err != nil {
			t.Fatal(err)
		}
		other := hashed(t, "other", usual)
		if _, err := table.Update(t.Context(), "ann@example.com", func(d *User) error { d.Hash = other; return nil }); err != nil {
			t.Fatal(err)
		}
		d.renew(t.Context(), u, true, "right")
		if now, err := table.Get(t.Context(), "ann@example.com"); err != nil || string(now.Value.Hash) != string(other) {
			t.Errorf("the new password is gone: %v", err)
		}
	})
	t.Run("longer than bcrypt reads", func(t *testing.T) {
		d, table, _ := database(t, usual-1, false)
		long := strings.Repeat("x", 100)
		old := hashed(t, long[:72], usual-1)
		if _, err := table.Update(t.Context(), "ann@example.com", func(d *User) error { d.Hash = old; return nil }); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, ok, err := d.Login(t.Context(), connector.Scopes{}, "ann@example.com", long); !ok || err != nil {
				t.Errorf("%t, %v", ok, err)
			}
		}
		if now, err := table.Get(t.Context(), "ann@example.com"); err != nil || string(now.Value.Hash) == string(old) {
			t.Errorf("not replaced: %v", err)
		}
	})
})

// A user who was deleted and made again is somebody else.
var _ = faulttest.Add("T-local-171", func(t *testing.T) {
	d, table, _ := database(t, usual, false)
	id, ok, err := d.Login(t.Context(), connector.Scopes{OfflineAccess: true}, "ann@example.com", "right")
	if !ok || err != nil {
		t.Fatalf("%t, %v", ok, err)
	}
	id.Email = "ann@example.com"
	refresh := func() error {
		d.users.Forget(store.Change{Kind: Kind.Name(), Key: "ann@example.com"})
		_, err := d.Refresh(t.Context(), connector.Scopes{}, id)
		return err
	}
	if err := refresh(); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	if err := table.Delete(t.Context(), "ann@example.com", ""); err != nil {
		t.Fatal(err)
	}
	if err := refresh(); connector.OutcomeOf(err) != connector.Gone {
		t.Errorf("deleted: %v", err)
	}
	if _, err := table.Create(t.Context(), "ann@example.com", User{Email: "ann@example.com", Hash: hashed(t, "right", usual), UserID: "9"}); err != nil {
		t.Fatal(err)
	}
	if err := refresh(); connector.OutcomeOf(err) != connector.Gone {
		t.Errorf("made again: %v", err)
	}
})
