package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

func wantReason(t *testing.T, what string, err error, want admin.Reason) {
	t.Helper()
	if err == nil || admin.ReasonOf(err) != want {
		t.Errorf("%s: got error %v of reason %d, want reason %d", what, err, admin.ReasonOf(err), want)
	}
}

func TestClients(t *testing.T) {
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleClients)
	made, err := f.Clients.Create(ctx, client.Client{Name: "App", RedirectURIs: []string{"https://app.test/cb"}})
	if err != nil || len(made.Value.ID) != 25 || len(made.Value.Secret) < 50 || made.Revision == "" {
		t.Fatalf("created %+v, %v", made, err)
	}
	id, secret := made.Value.ID, made.Value.Secret
	found, err := f.Clients.Get(ctx, id)
	if err != nil || found.Value.Secret != "" || found.Value.Name != "App" || found.Origin != admin.FromStorage {
		t.Errorf("found %+v, %v", found, err)
	}
	revealed, err := f.Clients.GetWithSecrets(ctx, id)
	if err != nil || !client.IsSecret(revealed.Value.Secret, secret) {
		t.Errorf("the stored secret is not the one that was returned: %v", err)
	}

	next, rotated, err := f.Clients.RotateSecret(ctx, id, found.Revision)
	if err != nil || next == secret {
		t.Fatalf("rotated %+v, %v", rotated, err)
	}
	both, err := f.Clients.GetWithSecrets(ctx, id)
	if err != nil || !client.IsSecret(both.Value.Secret, next) || !client.IsSecret(both.Value.PreviousSecret, secret) {
		t.Errorf("after the rotation, the secrets are not the new one and the one before: %v", err)
	}
	_, _, err = f.Clients.RotateSecret(ctx, id, found.Revision)
	wantReason(t, "rotate an old revision", err, admin.Conflict)
	if _, err := f.Clients.EndPreviousSecret(ctx, id, ""); err != nil {
		t.Error(err)
	}

	want := []string{"ci created client " + id, "ci secret rotated client " + id, "ci secret rotated client " + id}
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// The same Put again writes nothing, and keeps secrets that it leaves out.
func TestPut(t *testing.T) {
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleAll)
	v := client.Client{ID: "app", Name: "App", Secret: "s3cret"}
	first, created, err := f.Clients.Put(ctx, v, "")
	if err != nil || !created || first.Value.Secret != "s3cret" {
		t.Fatalf("created %+v, %t, %v", first, created, err)
	}
	again, created, err := f.Clients.Put(ctx, v, "")
	if err != nil || created || again.Revision != first.Revision {
		t.Errorf("put again: %+v, %t, %v", again, created, err)
	}
	v.Secret = ""
	again, _, err = f.Clients.Put(ctx, v, again.Revision)
	if err != nil || again.Revision != first.Revision {
		t.Errorf("put without the secret: %+v, %v", again, err)
	}
	v.Name = "Other"
	if again, _, err = f.Clients.Put(ctx, v, ""); err != nil || again.Revision == first.Revision || again.Value.Secret != "" {
		t.Errorf("put another name: %+v, %v", again, err)
	}
	if stored, err := f.Clients.GetWithSecrets(ctx, "app"); err != nil || !client.IsSecret(stored.Value.Secret, "s3cret") {
		t.Errorf("the secret is lost: %v", err)
	}
	_, _, err = f.Clients.Put(ctx, v, first.Revision)
	wantReason(t, "put on an old revision", err, admin.Conflict)
	_, _, err = f.Clients.Put(ctx, client.Client{ID: "absent", Public: true}, "1")
	wantReason(t, "put on a revision of nothing", err, admin.NotFound)

	user := local.User{Email: "Jane@example.com", UserID: "1", Hash: local.Hash(admintest.Hash)}
	if _, created, err := f.Users.Put(ctx, user, ""); err != nil || !created {
		t.Errorf("user: %t, %v", created, err)
	}
	user.Hash, user.Username = nil, "jane"
	if _, created, err := f.Users.Put(ctx, user, ""); err != nil || created {
		t.Errorf("user without hash: %t, %v", created, err)
	}
	source := federation.Definition{ID: "corp", Type: "oidc", Name: "Corp", Settings: []byte(
		`{"issuer":"https://idp.test","clientID":"a","clientSecret":"hidden","redirectURI":"https://dex.test/callback"}`)}
	if _, _, err := f.Connectors.Put(ctx, source, ""); err != nil {
		t.Fatal(err)
	}
	shown, err := f.Connectors.Get(ctx, "corp")
	if err != nil || strings.Contains(string(shown.Value.Settings), "hidden") || !strings.Contains(string(shown.Value.Settings), "idp.test") {
		t.Errorf("shows %s, %v", shown.Value.Settings, err)
	}
	shown.Value.Name = "Other"
	if _, _, err := f.Connectors.Put(ctx, shown.Value, shown.Revision); err != nil {
		t.Fatal(err)
	}
	kept, err := f.Connectors.GetWithSecrets(ctx, "corp")
	if err != nil || kept.Value.Name != "Other" || !strings.Contains(string(kept.Value.Settings), "hidden") {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

// Time stands still meanwhile, however long hashing takes: the limit would be refilled otherwise.
func TestGuessesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleAll)
		for range 10 {
			if ok, err := f.Users.VerifyPassword(ctx, "configured@example.com", "wrong"); ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		_, err := f.Users.VerifyPassword(ctx, "configured@example.com", "password")
		wantReason(t, "a password after too many wrong ones", err, admin.Exhausted)
	})
}

func TestRefused(t *testing.T) {
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleAll)
	_, err := f.Clients.Create(ctx, client.Client{ID: "configured", Public: true})
	wantReason(t, "create a configured client", err, admin.ReadOnly)
	wantReason(t, "delete a configured client", f.Clients.Delete(ctx, "configured", ""), admin.ReadOnly)
	wantReason(t, "delete a configured user", f.Users.Delete(ctx, "configured@EXAMPLE.com", ""), admin.ReadOnly)
	wantReason(t, "delete nothing", f.Clients.Delete(ctx, "absent", ""), admin.NotFound)
	wantReason(t, "delete the empty id", f.Clients.Delete(ctx, "", ""), admin.NotFound)
	wantReason(t, "delete a long id", f.Clients.Delete(ctx, strings.Repeat("a", 600), ""), admin.NotFound)
	_, err = f.Clients.Get(ctx, "")
	wantReason(t, "get the empty id", err, admin.NotFound)
	_, err = f.Clients.Create(ctx, client.Client{ID: "a", Public: true, RedirectURIs: []string{"javascript:alert(1)"}})
	wantReason(t, "create an invalid client", err, admin.Invalid)
	if e, ok := errors.AsType[*admin.Error](err); !ok || len(e.Members) != 1 || e.Members[0].Name != "redirectURIs[0]" {
		t.Errorf("members of the error: %+v", e)
	}
	_, _, err = f.Clients.List(ctx, "nonsense", 0)
	wantReason(t, "a page that does not exist", err, admin.Invalid)
	_, err = f.Users.VerifyPassword(ctx, "absent@example.com", "password")
	wantReason(t, "the password of nobody", err, admin.NotFound)
	if len(f.Changes()) > 0 {
		t.Errorf("what was refused changed %v", f.Changes())
	}
}

// Pages follow each other until all are seen, the configured ones last, and a hidden one not at all.
func TestPages(t *testing.T) {
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleRead)
	catalog := client.NewCatalog(f.Store, nil)
	want := []string{"configured"}
	for i := range 7 {
		id := fmt.Sprint("app", i)
		want = append(want, id)
		if _, err := catalog.Create(ctx, client.Client{ID: id, Public: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := catalog.Create(ctx, client.Client{ID: "configured", Name: "hidden", Public: true}); err != nil {
		t.Fatal(err)
	}
	for limit := 1; limit < 10; limit++ {
		var seen []string
		for after, more := "", true; more; more = after != "" {
			page, next, err := f.Clients.List(ctx, after, limit)
			if err != nil || len(page) > limit {
				t.Fatal(len(page), err)
			}
			for _, r := range page {
				seen = append(seen, r.Value.ID)
				if r.Value.Secret != "" || r.Value.Name == "hidden" || (r.Origin == admin.FromConfiguration) != (r.Value.ID == "configured") {
					t.Errorf("shows %+v", r)
				}
			}
			after = next
		}
		if seen[len(seen)-1] != "configured" {
			t.Errorf("by pages of %d, the configured one is not the last of %v", limit, seen)
		}
		slices.Sort(seen)
		slices.Sort(want)
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("by pages of %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestLogins(t *testing.T) {
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleUsers)
	user := connector.Identity{UserID: "1"}
	for i, clientID := range []string{"app", "app", "other"} {
		_, err := f.Families.Begin(ctx, fmt.Sprint("f", i), "code", token.Authorization{ClientID: clientID, ConnectorID: "local", Identity: user})
		if err != nil {
			t.Fatal(err)
		}
	}
	if all, err := f.Logins(ctx, "1", "local"); err != nil || len(all) != 3 || all[0].Created.IsZero() {
		t.Errorf("logins %+v, %v", all, err)
	}
	for want, ids := range map[int][3]string{0: {"2", "local", "app"}, 2: {"1", "local", "app"}} {
		if n, err := f.RevokeLogins(ctx, ids[0], ids[1], ids[2]); n != want || err != nil {
			t.Errorf("revoked %d of %v, %v", n, ids, err)
		}
	}
	if n, err := f.RevokeLogins(ctx, "1", "local", "app"); n != 0 || err != nil {
		t.Errorf("revoked %d again, %v", n, err)
	}
	if n, err := f.RevokeLogins(ctx, "1", "local", ""); n != 1 || err != nil {
		t.Errorf("revoked %d of all, %v", n, err)
	}
	if all, err := f.Logins(ctx, "1", "local"); err != nil || len(all) != 0 {
		t.Errorf("logins %+v, %v", all, err)
	}
}

// alike returns one of the errors of calls that need the same role: all refuse the caller, or none does.
func alike(t *testing.T, errs ...error) error {
	t.Helper()
	for _, err := range errs {
		if (err != nil && admin.ReasonOf(err) == admin.Forbidden) != (errs[0] != nil && admin.ReasonOf(errs[0]) == admin.Forbidden) {
			t.Errorf("not alike: %v", errs)
		}
	}
	return errs[0]
}

// Each method, called by somebody with each role: it is refused exactly where the table says so.
func TestRoles(t *testing.T) {
	f := admintest.New(t, nil)
	calls := map[admin.Method]func(context.Context) error{
		admin.ServerVersion:   func(ctx context.Context) error { _, err := f.Version(ctx); return err },
		admin.ServerDiscovery: func(ctx context.Context) error { _, err := f.Discovery(ctx); return err },
		admin.ClientsRotateSecret: func(ctx context.Context) error {
			_, _, err := f.Clients.RotateSecret(ctx, "absent", "")
			_, err2 := f.Clients.EndPreviousSecret(ctx, "absent", "")
			if admin.ReasonOf(err) != admin.ReasonOf(err2) {
				t.Error(err, err2)
			}
			return err
		},
		admin.UsersVerifyPassword: func(ctx context.Context) error { _, err := f.Users.VerifyPassword(ctx, "absent", "p"); return err },
		admin.LoginsList:          func(ctx context.Context) error { _, err := f.Logins(ctx, "1", "c"); return err },
		admin.LoginsRevoke:        func(ctx context.Context) error { _, err := f.RevokeLogins(ctx, "1", "c", ""); return err },
		admin.SessionsList: func(ctx context.Context) error {
			_, _, list := f.Service.Sessions(ctx, admin.Whose{}, "", 1)
			_, one := f.Session(ctx, "s")
			_, _, identities := f.Service.Identities(ctx, "", 1)
			_, identity := f.Identity(ctx, "1", "c")
			return alike(t, list, one, identities, identity)
		},
		admin.SessionsEnd: func(ctx context.Context) error {
			_, all := f.EndSessions(ctx, admin.Whose{UserID: "1"}, true)
			return alike(t, all, f.EndSession(ctx, "s"), f.DeleteIdentity(ctx, "1", "c"), f.RevokeConsent(ctx, "1", "c", "d"))
		},
		admin.UsersInvite: func(ctx context.Context) error { _, err := f.Users.Invite(ctx, "absent", false); return err },
		admin.UsersBlock: func(ctx context.Context) error {
			_, block := f.BlockUser(ctx, "2", "c", time.Time{})
			return alike(t, block, f.UnblockUser(ctx, "2", "c"))
		},
		admin.FactorsList: func(ctx context.Context) error {
			_, one := f.Factors(ctx, "1", "c")
			_, all := f.FactorsOf(ctx, nil)
			return alike(t, one, all)
		},
		admin.FactorsReset: func(ctx context.Context) error {
			return alike(t, f.ResetFactors(ctx, "1", "c"), f.RemoveFactor(ctx, "1", "c", "totp:a"), f.RemoveApp(ctx, "1", "c", "a"),
				f.UnlockCodes(ctx, "1", "c"))
		},
		admin.PolicyExplain: func(ctx context.Context) error {
			_, err := f.ExplainLogin(ctx, admin.LoginQuestion{ClientID: "absent", User: "1"})
			return err
		},
	}
	of(calls, "clients", &f.Clients.Records)
	of(calls, "users", &f.Users.Records)
	of(calls, "connectors", &f.Connectors.Records)
	for _, m := range admin.Methods() {
		call, ok := calls[m]
		if !ok {
			continue // elsewhere
		}
		delete(calls, m)
		for _, role := range append([]admin.Role{"", "Read", "nonsense"}, admin.Roles...) {
			err := call(admintest.As(t, role))
			forbidden := err != nil && admin.ReasonOf(err) == admin.Forbidden
			if allowed := slices.Contains(m.Roles(), role); allowed == forbidden {
				t.Errorf("%s by %q: %v", m, role, err)
			}
		}
		if err := call(t.Context()); admin.ReasonOf(err) != admin.Forbidden {
			t.Errorf("%s by nobody: %v", m, err)
		}
	}
	for m := range calls {
		if m != "users.reveal" { // a hash of a password is for nobody
			t.Errorf("%s is not in the table", m)
		} else if err := calls[m](admintest.As(t, admin.Roles...)); admin.ReasonOf(err) != admin.Forbidden {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// of adds calls of the methods that all kinds have.
func of[T any](calls map[admin.Method]func(context.Context) error, name string, r *admin.Records[T]) {
	method := func(verb string) admin.Method { return admin.Method(name + "." + verb) }
	calls[method("list")] = func(ctx context.Context) error { _, _, err := r.List(ctx, "", 0); return err }
	calls[method("get")] = func(ctx context.Context) error { _, err := r.Get(ctx, "absent"); return err }
	calls[method("create")] = func(ctx context.Context) error { _, err := r.Create(ctx, *new(T)); return err }
	calls[method("update")] = func(ctx context.Context) error {
		_, err := r.Update(ctx, "absent", "", func(*T) error { return nil })
		return err
	}
	calls[method("delete")] = func(ctx context.Context) error { return r.Delete(ctx, "absent", "") }
	calls[method("reveal")] = func(ctx context.Context) error {
		_, err := r.GetWithSecrets(ctx, "absent")
		if _, _, other := r.ListWithSecrets(ctx, "", 0); other != nil {
			err = other
		}
		return err
	}
}

// Custom resources are read like what is in the configuration file, unless something stored hides them.
func TestResources(t *testing.T) {
	ctx, s := admintest.As(t, admin.RoleAll), memory.New()
	fallback := &store.Fallback[client.Client]{}
	fallback.Replace(map[string]store.Entry[client.Client]{
		"res": {Key: "res", Revision: "7", Value: client.Client{ID: "res", Public: true}},
		"hid": {Key: "hid", Revision: "8", Value: client.Client{ID: "hid", Public: true}},
	})
	clients := client.NewCatalog(s, nil)
	service := admin.New(admin.Config{Clients: store.NewLayered([]*client.Client{{ID: "file"}}, clients).Over(fallback), Events: event.Discard})
	if _, err := clients.Create(ctx, client.Client{ID: "hid", Name: "stored", Public: true}); err != nil {
		t.Fatal(err)
	}
	for limit := 1; limit < 5; limit++ {
		var seen []string
		for after, more := "", true; more; more = after != "" {
			page, next, err := service.Clients.List(ctx, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				seen = append(seen, fmt.Sprint(r.Value.ID, r.Value.Name, r.Origin != admin.FromStorage))
			}
			after = next
		}
		if diff := cmp.Diff([]string{"hidstoredfalse", "filetrue", "restrue"}, seen); diff != "" {
			t.Errorf("by pages of %d (-want +got):\n%s", limit, diff)
		}
	}
	if got, err := service.Clients.Get(ctx, "res"); err != nil || got.Origin == admin.FromStorage {
		t.Errorf("got %+v, %v", got, err)
	}
	wantReason(t, "delete", service.Clients.Delete(ctx, "res", ""), admin.ReadOnly)
	_, _, err := service.Clients.Put(ctx, client.Client{ID: "res", Public: true}, "")
	wantReason(t, "put", err, admin.ReadOnly)
	if err := service.Clients.Delete(ctx, "hid", ""); err != nil {
		t.Error(err)
	}
	if got, err := service.Clients.Get(ctx, "hid"); err != nil || got.Origin == admin.FromStorage {
		t.Errorf("what was hidden is %+v, %v", got, err)
	}
}
