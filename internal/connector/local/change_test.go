package local

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/connector"
	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// changeable are users one of whom is in the storage, with the password "right".
func changeable(t *testing.T, h Hashing, p *Policy) (*Users, *store.Table[User]) {
	t.Helper()
	s := memory.New()
	table := store.In(s, Kind)
	ann := User{Email: "Ann@example.com", Hash: hashed(t, "right", usual), UserID: "1", Groups: []string{"g"}, EmailVerified: new(false)}
	if _, err := table.Create(t.Context(), "ann@example.com", ann); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Create(t.Context(), "file@example.com", User{Email: "file@example.com", Hash: hashed(t, "right", usual)}); err != nil {
		t.Fatal(err)
	}
	configured := []*User{{Email: "file@example.com", Hash: hashed(t, "right", usual), UserID: "2", EmailVerified: new(false)}}
	return NewUsers(nil, s, slog.New(slog.DiscardHandler)).With(configured, h, p), table
}

func stored(t *testing.T, table *store.Table[User]) User {
	t.Helper()
	e, err := table.Get(t.Context(), "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return e.Value
}

func logsIn(t *testing.T, users *Users, email, password string) bool {
	t.Helper()
	_, ok, err := New(users).Login(t.Context(), connector.Scopes{}, email, password)
	if err != nil {
		t.Errorf("%s: %v", email, err)
	}
	return ok
}

func TestSetPassword(t *testing.T) {
	for _, argon2id := range []bool{true, false} {
		users, table := changeable(t, Hashing{Argon2id: argon2id, Cost: usual}, &Policy{minLength: 8})
		before := stored(t, table)
		set := func(email string, before Hash, password string, want error) {
			t.Helper()
			if err := users.SetPassword(t.Context(), email, before, password); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", email, err, want)
			}
		}
		set("nobody@example.com", before.Hash, "correct horse", ErrUnknown)
		set("File@example.com", before.Hash, "correct horse", ErrFixed)
		set("ann@example.com", hashed(t, "right", usual), "correct horse", ErrChanged)
		set("ann@example.com", nil, "short", ErrChanged)
		if _, ok := errors.AsType[*Unfit](users.SetPassword(t.Context(), "ann@example.com", before.Hash, "short")); !ok {
			t.Error("a short password is set")
		}
		if now := stored(t, table); string(now.Hash) != string(before.Hash) {
			t.Error("a refused password is stored")
		}
		set("ANN@example.com", before.Hash, "correct horse", nil)
		now := stored(t, table)
		if now.Hash.IsArgon2id() != argon2id || now.UserID != "1" || now.Email != "Ann@example.com" || len(now.Groups) != 1 {
			t.Errorf("stored is %+v", now)
		}
		if !logsIn(t, users, "ann@example.com", "correct horse") || logsIn(t, users, "ann@example.com", "right") {
			t.Error("the new password isn't the one that counts")
		}
		set("ann@example.com", before.Hash, "another horse", ErrChanged)
	}
}

// Of two who set a password at the same time, one is told that it was too late.
func TestSetPasswordAtOnce(t *testing.T) {
	users, table := changeable(t, Hashing{Argon2id: true, Cost: usual}, &Policy{})
	before := stored(t, table).Hash
	var wins atomic.Int32
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			switch err := users.SetPassword(context.Background(), "ann@example.com", before, "correct horse"); {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, ErrChanged):
				t.Error(err)
			}
		})
	}
	if group.Wait(); wins.Load() != 1 {
		t.Errorf("%d have set it", wins.Load())
	}
}

func TestChangePassword(t *testing.T) {
	users, table := changeable(t, Hashing{Argon2id: true, Cost: usual}, &Policy{minLength: 8})
	d := New(users)
	for _, c := range []struct {
		email, current, password string
		want                     error
	}{
		{"nobody@example.com", "right", "correct horse", ErrUnknown},
		{"file@example.com", "wrong", "correct horse", ErrFixed},
		{"ann@example.com", "wrong", "correct horse", ErrWrongPassword},
		{"ann@example.com", "wrong", "short", ErrWrongPassword}, // nothing is said to whoever doesn't know the current one
		{"ann@example.com", "right", "correct horse", nil},
		{"ann@example.com", "right", "another horse", ErrWrongPassword},
	} {
		if err := d.ChangePassword(t.Context(), c.email, c.current, c.password); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, ok := errors.AsType[*Unfit](d.ChangePassword(t.Context(), "ann@example.com", "correct horse", "short")); !ok {
		t.Error("a short password is set")
	}
	if !logsIn(t, users, "ann@example.com", "correct horse") || !stored(t, table).Hash.IsArgon2id() {
		t.Error("the new password isn't the one that counts")
	}
	bcrypts, argon2ids := counted(t, d)
	if err := d.ChangePassword(t.Context(), "ann@example.com", "wrong", "correct horse"); !errors.Is(err, ErrWrongPassword) {
		t.Error(err)
	}
	if *bcrypts != 1<<usual || *argon2ids != usualWork {
		t.Errorf("a wrong one costs %d and %d", *bcrypts, *argon2ids)
	}
}

// Users from custom resources can't be changed; those in the storage that hide one can.
func TestChangesOverResources(t *testing.T) {
	users, table := changeable(t, Hashing{Argon2id: true, Cost: usual}, &Policy{})
	var resources store.Fallback[User]
	of := func(email string) store.Entry[User] {
		return store.Entry[User]{Key: email, Revision: "r", Value: User{Email: email, UserID: "r", Hash: hashed(t, "right", usual-1), EmailVerified: new(false)}}
	}
	resources.Replace(map[string]store.Entry[User]{"ann@example.com": of("ann@example.com"), "res@example.com": of("res@example.com")})
	users = users.Over(&resources)
	if !logsIn(t, users, "res@example.com", "right") {
		t.Error("the user of a resource doesn't get in")
	}
	u, err := users.ByEmail(t.Context(), "res@example.com")
	if err != nil || u.Hash.IsArgon2id() {
		t.Fatalf("%+v, %v", u, err)
	}
	if err := users.SetPassword(t.Context(), "res@example.com", u.Hash, "correct horse"); !errors.Is(err, ErrFixed) {
		t.Error(err)
	}
	if err := users.Verified(t.Context(), "res@example.com"); !errors.Is(err, ErrFixed) {
		t.Error(err)
	}
	if err := users.SetPassword(t.Context(), "ann@example.com", stored(t, table).Hash, "correct horse"); err != nil {
		t.Error(err)
	}
}

func TestVerified(t *testing.T) {
	users, table := changeable(t, Hashing{Cost: usual}, &Policy{})
	for email, want := range map[string]error{"nobody@example.com": ErrUnknown, "file@example.com": ErrFixed, "ANN@example.com": nil} {
		if err := users.Verified(t.Context(), email); !errors.Is(err, want) {
			t.Errorf("%s: %v", email, err)
		}
	}
	if now := stored(t, table); now.EmailVerified == nil || !*now.EmailVerified || now.UserID != "1" {
		t.Errorf("stored is %+v", now)
	}
	if u, err := users.ByEmail(t.Context(), "ann@example.com"); err != nil || !u.verified() {
		t.Errorf("found is %+v, %v", u, err)
	}
}

func TestFingerprint(t *testing.T) {
	u := User{Email: "Ann@example.com", UserID: "1", Hash: Hash("$2a$")}
	same := u
	same.Email, same.Name, same.EmailVerified = "ann@EXAMPLE.com", "Ann", new(true)
	if string(u.Fingerprint()) != string(same.Fingerprint()) || len(u.Fingerprint()) < 32 {
		t.Error("the fingerprint depends on something else")
	}
	for _, other := range []User{
		{Email: "bob@example.com", UserID: "1", Hash: u.Hash}, {Email: u.Email, UserID: "2", Hash: u.Hash}, {Email: u.Email, UserID: "1", Hash: Hash("$2b$")},
		{Email: "nn@example.com", UserID: "1a", Hash: u.Hash},
	} {
		if string(u.Fingerprint()) == string(other.Fingerprint()) {
			t.Errorf("%+v has the same fingerprint", other)
		}
	}
}

// A login makes hashes anew by the configured algorithm.
var _ = faulttest.Add("R21", func(t *testing.T) {
	argon, old, foreign := Hashing{Argon2id: true, Cost: usual}, hashed(t, "right", usual), argon2id{64, 1, 2, make([]byte, 16), make([]byte, 16)}
	foreign.sum = foreign.key([]byte("right"))
	current, err := argon.Hash("right")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 100)
	longArgon, err := argon.Hash(long)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		hashing        Hashing
		hash           Hash
		password, want string
	}{
		"bcrypt to argon2id":                    {argon, old, "right", "argon2id m=19456,t=2,p=1"},
		"dear bcrypt to argon2id":               {argon, hashed(t, "right", usual+1), "right", "argon2id m=19456,t=2,p=1"},
		"argon2id of others":                    {argon, Hash(foreign.String()), "right", "argon2id m=19456,t=2,p=1"},
		"argon2id as it is":                     {argon, current, "right", ""},
		"back to bcrypt":                        {Hashing{Cost: usual}, current, "right", "bcrypt cost 6"},
		"too long for bcrypt":                   {Hashing{Cost: usual}, longArgon, long, ""},
		"bcrypt as it is":                       {Hashing{Cost: usual}, old, "right", ""},
		"longer than bcrypt has checked":        {argon, hashed(t, long[:72], usual), long, ""},
		"longer than bcrypt has checked, cheap": {argon, hashed(t, long[:72], usual-1), long, "bcrypt cost 6"},
	} {
		users, table := changeable(t, c.hashing, &Policy{})
		if _, err := table.Update(t.Context(), "ann@example.com", func(u *User) error { u.Hash = c.hash; return nil }); err != nil {
			t.Fatal(err)
		}
		if logsIn(t, users, "ann@example.com", "wrong") || string(stored(t, table).Hash) != string(c.hash) {
			t.Errorf("%s: a wrong password gets in, or changes the hash", name)
		}
		for range 2 {
			if !logsIn(t, users, "ann@example.com", c.password) {
				t.Errorf("%s: the right password doesn't get in", name)
			}
		}
		now := stored(t, table).Hash
		parsed, err := now.parse()
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && string(now) != string(c.hash):
			t.Errorf("%s: is replaced by %s", name, parsed)
		case c.want != "" && (parsed.String() != c.want || string(now) == string(c.hash)):
			t.Errorf("%s: is %s, want %s", name, parsed, c.want)
		}
		if !logsIn(t, users, "file@example.com", "right") {
			t.Errorf("%s: the configured user doesn't get in", name)
		}
		if hidden, err := table.Get(t.Context(), "file@example.com"); err != nil || hidden.Value.Hash.IsArgon2id() {
			t.Errorf("%s: the user behind the configured one is changed: %v", name, err)
		}
	}
})

// No more hashes are computed at once than there are processors, whoever asks for them: each takes memory.
func TestHashesAtOnce(t *testing.T) {
	users, table := changeable(t, Hashing{Argon2id: true, Cost: bcrypt.MinCost}, &Policy{})
	before := stored(t, table).Hash
	var now, most atomic.Int32
	busy := func() {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond) // as a hash does, so that others come meanwhile
		now.Add(-1)
	}
	users.passwords.with = &algorithms{
		bcrypt:   func(_, _ []byte) error { busy(); return bcrypt.ErrMismatchedHashAndPassword },
		argon2id: func(a argon2id, _ []byte) []byte { busy(); return make([]byte, len(a.sum)) },
	}
	d := New(users)
	other := New(users.With(nil, Hashing{Cost: bcrypt.MinCost}, &Policy{})) // of the next configuration
	var group sync.WaitGroup
	for range 10 {
		for _, db := range []*Database{d, other} {
			group.Go(func() { _, _, _ = db.Login(context.Background(), connector.Scopes{}, "ann@example.com", "wrong") })
			group.Go(func() { _ = db.ChangePassword(context.Background(), "ann@example.com", "wrong", "other") })
		}
	}
	group.Wait()
	if most.Load() > int32(max(1, runtime.GOMAXPROCS(0)-1)) {
		t.Errorf("%d hashes at once", most.Load())
	}
	// New hashes wait in the same line.
	var done []func()
	for range max(1, runtime.GOMAXPROCS(0)-1) {
		end, err := users.passwords.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, end)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := users.SetPassword(ctx, "ann@example.com", before, "correct horse")
	if _, late := errors.AsType[*connector.Temporary](err); late || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hash beside the line: %v", err) // the storage was too late
	}
	for _, end := range done {
		end()
	}
}

// A password that was changed at another replica lets nobody in, although this one still remembers the user.
func TestChangeElsewhere(t *testing.T) {
	users, table := changeable(t, Hashing{Cost: usual}, &Policy{})
	if !logsIn(t, users, "ann@example.com", "right") {
		t.Fatal("the password is wrong")
	}
	_, err := table.Update(t.Context(), "ann@example.com", func(u *User) error {
		u.Hash = hashed(t, "another", usual)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if u, err := users.ByEmail(t.Context(), "ann@example.com"); err != nil || string(u.Hash) == string(stored(t, table).Hash) {
		t.Fatalf("the change is known already, or %v", err)
	}
	if logsIn(t, users, "ann@example.com", "right") {
		t.Error("the old password lets its user in")
	}
	if err := table.Delete(t.Context(), "ann@example.com", ""); err != nil {
		t.Fatal(err)
	}
	if logsIn(t, users, "ann@example.com", "right") {
		t.Error("a user who was deleted gets in")
	}
}
