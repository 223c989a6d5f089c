package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
)

// signedIn is a Fixture with three sessions of u1, one of them by a connector that is no longer there, one of u2, and logins of u1
// that were made without a browser.
func signedIn(t *testing.T, wrap func(store.Store) store.Store) *admintest.Fixture {
	t.Helper()
	f := admintest.New(t, wrap)
	f.SignIn(t, "s1", "u1", "local", "shop", "till")
	f.SignIn(t, "s2", "u1", "local", "till")
	f.SignIn(t, "s3", "u1", "gone", "shop")
	f.SignIn(t, "s4", "u2", "local", "shop")
	for _, connectorID := range []string{"local", "gone"} {
		f.LogIn(t, "cli-"+connectorID, token.Authorization{ClientID: "cli", ConnectorID: connectorID, Identity: connector.Identity{UserID: "u1"}})
	}
	return f
}

const everybody = "[s1 s2 s3 s4] [cli-gone cli-local s1-shop s1-till s2-till s3-shop s4-shop] 0"

func TestEndSessions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		whose  admin.Whose
		logins bool
		ended  admin.Ended
		left   string
	}{
		"one user of a connector": {
			admin.Whose{UserID: "u1", ConnectorID: "local"}, false, admin.Ended{Sessions: 2}, "[s3 s4] [cli-gone cli-local s3-shop s4-shop] 1",
		},
		"one user": {admin.Whose{UserID: "u1"}, false, admin.Ended{Sessions: 3}, "[s4] [cli-gone cli-local s4-shop] 2"},
		"a compromised account": {
			admin.Whose{UserID: "u1"}, true, admin.Ended{Sessions: 3, Logins: 2}, "[s4] [s4-shop] 2",
		},
		"a connector": {admin.Whose{ConnectorID: "gone"}, false, admin.Ended{Sessions: 1}, "[s1 s2 s4] [cli-gone cli-local s1-shop s1-till s2-till s4-shop] 1"},
		"a client":    {admin.Whose{ClientID: "shop"}, false, admin.Ended{Sessions: 3}, "[s2] [cli-gone cli-local s2-till] 3"},
		"nobody":      {admin.Whose{UserID: "u9"}, true, admin.Ended{}, everybody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
			got, err := f.EndSessions(admin.WithDryRun(ctx), c.whose, c.logins)
			if err != nil || got != c.ended || f.Left(t) != everybody || len(f.Changes()) > 0 {
				t.Errorf("a trial: %+v, %v, left %s", got, err, f.Left(t))
			}
			got, err = f.EndSessions(ctx, c.whose, c.logins)
			if err != nil || got != c.ended || f.Left(t) != c.left {
				t.Errorf("ended %+v, %v, left %s; want %+v, %s", got, err, f.Left(t), c.ended, c.left)
			}
			again, err := f.EndSessions(ctx, c.whose, c.logins)
			if err != nil || again != (admin.Ended{}) {
				t.Errorf("ended again: %+v, %v", again, err)
			}
			revoked := 0
			for _, e := range f.Events() {
				if ended, ok := e.(event.SessionEnded); ok && ended.Why == event.SessionRevoked {
					revoked++
				}
			}
			if revoked != c.ended.Sessions {
				t.Errorf("%d events for %+v", revoked, c.ended)
			}
		})
	}
}

// Nobody ends everybody's sessions by leaving something out.
func TestEndSessionsOfNobody(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	if _, err := f.EndSessions(ctx, admin.Whose{}, false); admin.ReasonOf(err) != admin.Invalid {
		t.Errorf("of everybody: %v", err)
	}
	if _, err := f.EndSessions(ctx, admin.Whose{ConnectorID: "local"}, true); admin.ReasonOf(err) != admin.Invalid {
		t.Errorf("logins of everybody: %v", err)
	}
	if n, err := f.RevokeLogins(ctx, "", "", ""); n != 0 || err != nil {
		t.Errorf("%d logins of everybody, %v", n, err)
	}
	if left := f.Left(t); left != everybody {
		t.Errorf("left %s", left)
	}
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	if err := f.EndSession(admin.WithDryRun(ctx), "s1"); err != nil || f.Left(t) != everybody {
		t.Errorf("a trial: %v, left %s", err, f.Left(t))
	}
	const left = "[s2 s3 s4] [cli-gone cli-local s2-till s3-shop s4-shop] 1"
	if err := f.EndSession(ctx, "s1"); err != nil || f.Left(t) != left {
		t.Errorf("left %s, %v", f.Left(t), err)
	}
	if changes := f.Changes(); !slices.Contains(changes, "ci deleted session s1") || !slices.Contains(changes, "ci deleted login s1-shop") {
		t.Errorf("changes %q", changes)
	}
	for _, id := range []string{"s1", "", "none", string(make([]byte, 600))} {
		if err := f.EndSession(ctx, id); admin.ReasonOf(err) != admin.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// A storage that fails in between leaves what is found by the next try.
func TestEndSessionsAgain(t *testing.T) {
	t.Parallel()
	var broken atomic.Int64
	f := signedIn(t, func(s store.Store) store.Store { return &failing{Store: s, left: &broken} })
	ctx := admintest.As(t, admin.RoleUsers)
	for writes := int64(1); ; writes++ {
		broken.Store(writes)
		_, err := f.EndSessions(ctx, admin.Whose{UserID: "u1"}, true)
		broken.Store(0)
		if err == nil {
			break
		}
		if admin.ReasonOf(err) != admin.Unavailable || writes > 100 {
			t.Fatalf("after %d writes: %v", writes, err)
		}
	}
	if left := f.Left(t); left != "[s4] [s4-shop] 2" {
		t.Errorf("left %s", left)
	}
}

// failing fails after a number of writes, unless that is 0.
type failing struct {
	store.Store
	left *atomic.Int64
}

var errFailing = errors.New("the storage is down")

func (s *failing) may() error {
	if s.left.Load() > 0 && s.left.Add(-1) == 0 {
		s.left.Store(1) // for good
		return errFailing
	}
	return nil
}

func (s *failing) Create(ctx context.Context, r store.Record) (string, error) {
	if err := s.may(); err != nil {
		return "", err
	}
	return s.Store.Create(ctx, r)
}

func (s *failing) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := s.may(); err != nil {
		return "", err
	}
	return s.Store.Replace(ctx, r)
}

func (s *failing) Delete(ctx context.Context, kind, key, revision string) error {
	if err := s.may(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, kind, key, revision)
}

// addSessions adds sessions of many users of the connector corp. The last one is of the connector rare.
func addSessions(t *testing.T, f *admintest.Fixture, many, users int) {
	t.Helper()
	now := time.Now()
	for i := range many {
		v := session.Session{
			ConnectorID: "corp", Identity: connector.Identity{UserID: fmt.Sprint("u", i%users)}, AuthTime: now, Created: now, LastUsed: now,
			Ends: now.Add(time.Hour), Idle: now.Add(time.Hour), Secrets: []session.Secret{{Issued: now}},
			Clients: map[string]session.Participation{"shop": {First: now, Last: now}},
		}
		if i == many-1 {
			v.ConnectorID = "rare"
		}
		if _, err := f.Sessions.Table().Create(t.Context(), fmt.Sprintf("s%05d", i), v); err != nil {
			t.Fatal(err)
		}
	}
}

// Many sessions are ended page by page, each with its logout token.
func TestEndManySessions(t *testing.T) {
	t.Parallel()
	const many = 2500
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleUsers)
	addSessions(t, f, many, many)
	done, err := f.EndSessions(ctx, admin.Whose{ConnectorID: "corp"}, false)
	if err != nil || done.Sessions != many-1 {
		t.Errorf("ended %+v, %v", done, err)
	}
	if left := f.Left(t); left != "[s02499] [] 1000" { // of a first page
		t.Errorf("left %s", left)
	}
}

// A list of many sessions is read page by page, and each call looks at a bounded number.
func TestManySessions(t *testing.T) {
	t.Parallel()
	const many = 12_000
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleRead)
	addSessions(t, f, many, 3000)
	for _, c := range []struct {
		whose        admin.Whose
		found, calls int
	}{
		{admin.Whose{}, many, many/1000 + 1},
		{admin.Whose{ConnectorID: "corp"}, many - 1, many / 1000},
		{admin.Whose{ConnectorID: "rare"}, 1, 2},
		{admin.Whose{UserID: "u7"}, 4, 2},
		{admin.Whose{UserID: "u7", ConnectorID: "corp", ClientID: "shop"}, 4, 1},
		{admin.Whose{UserID: "u7", ClientID: "till"}, 0, 2},
	} {
		seen, calls, after := map[string]bool{}, 0, ""
		for {
			page, next, err := f.Service.Sessions(ctx, c.whose, after, 1000)
			if err != nil {
				t.Fatal(err)
			}
			calls++
			for _, e := range page {
				seen[e.Key] = true
			}
			if next == "" {
				break
			}
			after = next
		}
		if len(seen) != c.found || calls != c.calls {
			t.Errorf("%+v: %d in %d calls, want %d in %d", c.whose, len(seen), calls, c.found, c.calls)
		}
	}
}

// What is over by today's limits is not shown, and is ended all the same.
func TestSessionsThatAreOver(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	_, err := f.Sessions.Table().Update(ctx, "s1", func(v *session.Session) error {
		v.Secrets = []session.Secret{{Hash: v.Secrets[0].Hash, Issued: v.Created.Add(-25 * time.Hour)}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(ctx, "s1"); admin.ReasonOf(err) != admin.NotFound {
		t.Errorf("it is shown: %v", err)
	}
	page, _, err := f.Service.Sessions(ctx, admin.Whose{UserID: "u1", ConnectorID: "local"}, "", 10)
	if err != nil || len(page) != 1 || page[0].Key != "s2" {
		t.Errorf("listed %v, %v", page, err)
	}
	if done, err := f.EndSessions(ctx, admin.Whose{UserID: "u1", ConnectorID: "local"}, false); err != nil || done.Sessions != 2 {
		t.Errorf("ended %+v, %v", done, err)
	}
}

func TestDeleteIdentity(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	for email, userID := range map[string]string{"u1@example.com": "u1", "alias@example.com": "u1", "u2@example.com": "u2"} {
		if _, err := f.Users.Create(ctx, local.User{Email: email, UserID: userID, Hash: local.Hash(admintest.Hash)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, connectorID := range []string{"local", "gone"} {
		if err := f.Offline.Keep(ctx, "u1", connectorID, []byte("source-token"), nil); err != nil {
			t.Fatal(err)
		}
	}
	// Another connector's user of the same address and id keeps the password.
	if err := f.DeleteIdentity(ctx, "u1", "gone"); err != nil {
		t.Fatal(err)
	}
	if users, _, err := f.Users.List(ctx, "", 10); err != nil || len(users) != 4 {
		t.Errorf("users %v, %v", users, err)
	}
	if err := f.DeleteIdentity(admin.WithDryRun(ctx), "u1", "local"); err != nil || f.Left(t) != "[s1 s2 s4] [cli-local s1-shop s1-till s2-till s4-shop] 1" {
		t.Errorf("a trial: %v, left %s", err, f.Left(t))
	}
	if err := f.DeleteIdentity(ctx, "u1", "local"); err != nil || f.Left(t) != "[s4] [s4-shop] 2" {
		t.Errorf("left %s, %v", f.Left(t), err)
	}
	users, _, err := f.Users.List(ctx, "", 10)
	if err != nil || len(users) != 2 || users[0].Value.UserID != "u2" {
		t.Errorf("users %v, %v", users, err)
	}
	for _, connectorID := range []string{"local", "gone"} {
		if data, err := f.Offline.Data(ctx, "u1", connectorID); data != nil || err != nil {
			t.Errorf("the source's token is left: %q, %v", data, err)
		}
		if err := f.DeleteIdentity(ctx, "u1", connectorID); admin.ReasonOf(err) != admin.NotFound {
			t.Errorf("once more: %v", err)
		}
	}
	if _, err := f.Identity(ctx, "u2", "local"); err != nil {
		t.Error(err)
	}
	if changes := f.Changes(); changes[len(changes)-1] != "ci deleted identity local/u1" {
		t.Errorf("changes %q", changes)
	}
}

// A user in the configuration file can't be removed here: everything else goes, and the call says what is left, as often as it is made.
func TestDeleteIdentityOfTheConfiguration(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	f.SignIn(t, "sc", "c", "local", "shop")
	for range 2 {
		err := f.DeleteIdentity(ctx, "c", "local")
		if admin.ReasonOf(err) != admin.ReadOnly || err.Error() != `purge password: user "Configured@example.com" is in the configuration file, and can be changed only there` {
			t.Errorf("got %v", err)
		}
		if left := f.Left(t); left != everybody[:len(everybody)-1]+"1" {
			t.Errorf("left %s", left)
		}
	}
	if _, err := f.Identity(ctx, "c", "local"); err != nil {
		t.Error(err)
	}
}

func TestRevokeConsent(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	if err := f.RevokeConsent(admin.WithDryRun(ctx), "u1", "local", "shop"); err != nil {
		t.Error(err)
	}
	if err := f.RevokeConsent(ctx, "u1", "local", "shop"); err != nil {
		t.Error(err)
	}
	for _, c := range []context.Context{ctx, admin.WithDryRun(ctx)} {
		for _, ids := range [][3]string{{"u1", "local", "shop"}, {"u9", "local", "shop"}} {
			if err := f.RevokeConsent(c, ids[0], ids[1], ids[2]); admin.ReasonOf(err) != admin.NotFound {
				t.Errorf("%v: %v", ids, err)
			}
		}
	}
	e, err := f.Identity(ctx, "u1", "local")
	if _, left := e.Value.Consents["till"]; err != nil || len(e.Value.Consents) != 1 || !left {
		t.Errorf("consents %v, %v", e.Value.Consents, err)
	}
	if changes := f.Changes(); len(changes) != 1 || changes[0] != "ci deleted consent shop of local/u1" {
		t.Errorf("changes %q", changes)
	}
}

// Where sessions are off there are none, and a compromised account still loses its logins.
func TestSessionsOff(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	s := f.WithoutSessions()
	if page, next, err := s.Sessions(ctx, admin.Whose{}, "", 10); len(page) > 0 || next != "" || err != nil {
		t.Errorf("sessions %v, %v", page, err)
	}
	if page, next, err := s.Identities(ctx, "", 10); len(page) > 0 || next != "" || err != nil {
		t.Errorf("identities %v, %v", page, err)
	}
	for what, err := range map[string]error{
		"end": s.EndSession(ctx, "s1"), "delete": s.DeleteIdentity(ctx, "u1", "local"), "revoke": s.RevokeConsent(ctx, "u1", "local", "shop"),
	} {
		if admin.ReasonOf(err) != admin.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	done, err := s.EndSessions(ctx, admin.Whose{UserID: "u1"}, true)
	if err != nil || done != (admin.Ended{Logins: 6}) || f.Left(t) != "[s1 s2 s3 s4] [s4-shop] 0" {
		t.Errorf("ended %+v, %v, left %s", done, err, f.Left(t))
	}
}
