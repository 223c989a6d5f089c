package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"dex/internal/store"
)

// A badge is the document of the tests of Table.
type badge struct {
	Name  string    `json:"name"`
	Owner string    `json:"owner"`
	Until time.Time `json:"until"`
}

func (f *fixture) badges() *store.Table[badge] {
	return store.In(f.Store, store.Declare(store.Declaration[badge]{
		Name:    f.kind,
		Owner:   func(b *badge) string { return b.Owner },
		Expires: func(b *badge) time.Time { return b.Until },
	}))
}

var tableCases = []testCase{
	{"CreateGetReplaceDelete", func(f *fixture) {
		table := f.badges()
		if table.Kind() != f.kind {
			f.Errorf("Kind: got %q", table.Kind())
		}
		_, err := table.Get(f.ctx, "a")
		f.wantError("Get", err, store.ErrNotFound)
		created, err := table.Create(f.ctx, "a", badge{Name: "first"})
		if err != nil {
			f.Fatalf("Create: %v", err)
		}
		_, err = table.Create(f.ctx, "a", badge{Name: "second"})
		f.wantError("Create again", err, store.ErrExists)
		if read, err := table.Get(f.ctx, "a"); err != nil || read != created {
			f.Errorf("Get: got %+v and error %v, want %+v", read, err, created)
		}
		change := created
		change.Value.Name = "changed"
		replaced, err := table.Replace(f.ctx, change)
		if err != nil {
			f.Fatalf("Replace: %v", err)
		}
		if replaced.Value.Name != "changed" || replaced.Revision == created.Revision {
			f.Errorf("Replace: got %+v after %+v", replaced, created)
		}
		_, err = table.Replace(f.ctx, created)
		f.wantError("Replace of a stale entry", err, store.ErrConflict)
		f.wantError("Delete of a stale entry", table.Delete(f.ctx, "a", created.Revision), store.ErrConflict)
		if err := table.Delete(f.ctx, "a", replaced.Revision); err != nil {
			f.Errorf("Delete: %v", err)
		}
		f.wantError("Delete again", table.Delete(f.ctx, "a", ""), store.ErrNotFound)
	}},
	{"OwnerAndExpiryComeFromTheValue", func(f *fixture) {
		table := f.badges()
		until := time.Now().Add(time.Hour).UTC()
		if _, err := table.Create(f.ctx, "a", badge{Owner: "owner", Until: until}); err != nil {
			f.Fatalf("Create: %v", err)
		}
		if r := f.get("a"); r.Owner != "owner" || until.Sub(r.Expires).Abs() > time.Millisecond {
			f.Errorf("got owner %q and expiry %v", r.Owner, r.Expires)
		}
		_, err := table.Update(f.ctx, "a", func(b *badge) error {
			b.Owner, b.Until = "other", time.Time{}
			return nil
		})
		if err != nil {
			f.Fatalf("Update: %v", err)
		}
		if r := f.get("a"); r.Owner != "other" || !r.Expires.IsZero() {
			f.Errorf("got owner %q and expiry %v", r.Owner, r.Expires)
		}
	}},
	{"Update", func(f *fixture) {
		table := f.badges()
		created, err := table.Create(f.ctx, "a", badge{Name: "first"})
		if err != nil {
			f.Fatalf("Create: %v", err)
		}
		updated, err := table.Update(f.ctx, "a", func(b *badge) error {
			b.Name += " changed"
			return nil
		})
		if err != nil || updated.Value.Name != "first changed" || updated.Revision == created.Revision {
			f.Errorf("Update: got %+v and error %v", updated, err)
		}
		if read, err := table.Get(f.ctx, "a"); err != nil || read != updated {
			f.Errorf("Get: got %+v and error %v, want %+v", read, err, updated)
		}
	}},
	{"UpdateBeginsAgainAfterALostRace", func(f *fixture) {
		table := f.badges()
		if _, err := table.Create(f.ctx, "a", badge{Name: "first"}); err != nil {
			f.Fatalf("Create: %v", err)
		}
		var seen []string
		_, err := table.Update(f.ctx, "a", func(b *badge) error {
			seen = append(seen, b.Name)
			if len(seen) == 1 { // somebody else is faster
				r := f.get("a")
				r.Data = []byte(`{"name": "second"}`)
				if _, err := f.Replace(f.ctx, r); err != nil {
					return err
				}
			}
			b.Name += " changed"
			return nil
		})
		if want := []string{"first", "second"}; err != nil || !slices.Equal(seen, want) {
			f.Errorf("Update saw %q and returned error %v, want %q", seen, err, want)
		}
		if e, err := table.Get(f.ctx, "a"); err != nil || e.Value.Name != "second changed" {
			f.Errorf("Get: got %+v and error %v", e, err)
		}
	}},
	{"UpdateEntryReadsOnlyAfterALostRace", func(f *fixture) {
		table := f.badges()
		stale, err := table.Create(f.ctx, "a", badge{Name: "first"})
		if err != nil {
			f.Fatalf("Create: %v", err)
		}
		for _, want := range [][]string{{"first"}, {"first", "first changed"}} { // the second time it is stale
			var seen []string
			_, err := table.UpdateEntry(f.ctx, stale, func(b *badge) error {
				seen = append(seen, b.Name)
				b.Name += " changed"
				return nil
			})
			if err != nil || !slices.Equal(seen, want) {
				f.Errorf("UpdateEntry saw %q and returned error %v, want %q", seen, err, want)
			}
		}
		if e, err := table.Get(f.ctx, "a"); err != nil || e.Value.Name != "first changed changed" {
			f.Errorf("Get: got %+v and error %v", e, err)
		}
		if err := table.Delete(f.ctx, "a", ""); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		_, err = table.UpdateEntry(f.ctx, stale, func(*badge) error { return nil })
		f.wantError("UpdateEntry of a deleted record", err, store.ErrNotFound)
	}},
	{"UpdateWithoutChange", func(f *fixture) {
		table := f.badges()
		created, err := table.Create(f.ctx, "a", badge{Name: "first"})
		if err != nil {
			f.Fatalf("Create: %v", err)
		}
		got, err := table.Update(f.ctx, "a", func(*badge) error { return store.ErrUnchanged })
		if err != nil || got != created {
			f.Errorf("Update: got %+v and error %v, want %+v", got, err, created)
		}
		broken := errors.New("broken")
		_, err = table.Update(f.ctx, "a", func(b *badge) error {
			b.Name = "lost"
			return broken
		})
		if err != broken { //nolint:errorlint // as it is, says the contract
			f.Errorf("Update: got error %v, want %v as it is", err, broken)
		}
		if read, err := table.Get(f.ctx, "a"); err != nil || read != created {
			f.Errorf("Get: got %+v and error %v, want %+v", read, err, created)
		}
	}},
	{"UpdateAbsent", func(f *fixture) {
		_, err := f.badges().Update(f.ctx, "a", func(*badge) error {
			f.Error("the change was called")
			return nil
		})
		f.wantError("Update", err, store.ErrNotFound)
		f.wantNotFound("a")
	}},
	{"List", func(f *fixture) {
		table := f.badges()
		for _, key := range []string{"c", "a", "b"} {
			if _, err := table.Create(f.ctx, key, badge{Name: "badge " + key, Owner: "owner of " + key}); err != nil {
				f.Fatalf("Create: %v", err)
			}
		}
		order := f.list(store.Query{})
		f.wantSameKeys(order, []string{"a", "b", "c"})
		for q, want := range map[store.Query][]string{
			{}: order, {Limit: 2}: order[:2], {After: order[0], Limit: 1}: order[1:2],
			{Owner: "owner of c"}: {"c"}, {Owner: "nobody"}: {},
		} {
			entries, err := table.List(f.ctx, q)
			if err != nil {
				f.Fatalf("List %+v: %v", q, err)
			}
			keys := []string{}
			for _, e := range entries {
				if read, err := table.Get(f.ctx, e.Key); err != nil || read != e || e.Value.Name != "badge "+e.Key {
					f.Errorf("Get %s: got %+v and error %v, want %+v", e.Key, read, err, e)
				}
				keys = append(keys, e.Key)
			}
			if !slices.Equal(keys, want) {
				f.Errorf("List %+v: got %q, want %q", q, keys, want)
			}
		}
	}},
	{"UnreadableDocument", func(f *fixture) {
		f.create(store.Record{Kind: f.kind, Key: "a", Data: []byte(`{"name": "secret`)})
		table := f.badges()
		_, err := table.Get(f.ctx, "a")
		f.wantRefused("Get", err)
		if err != nil && strings.Contains(err.Error(), "secret") {
			f.Errorf("the error tells what is in the document: %v", err)
		}
		_, err = table.List(f.ctx, store.Query{})
		f.wantRefused("List", err)
	}},
}
