package storetest

import (
	"bytes"
	"fmt"
	"time"

	"dex/internal/store"
)

var recordCases = []testCase{
	{"Create", func(f *fixture) {
		r := f.record("a")
		r.Owner = "owner"
		r.Expires = time.Now().Add(time.Hour)
		r.Revision = f.create(r)
		f.wantRecord(r)
		again := f.get("a")
		f.wantRecord(again)
	}},
	{"CreateTwice", func(f *fixture) {
		r := f.record("a")
		r.Revision = f.create(r)
		_, err := f.Create(f.ctx, store.Record{Kind: f.kind, Key: "a", Data: []byte("other")})
		f.wantError("Create of a taken key", err, store.ErrExists)
		f.wantRecord(r)
	}},
	{"CreateIgnoresRevision", func(f *fixture) {
		r := f.record("a")
		r.Revision = "not a revision"
		if r.Revision = f.create(r); r.Revision == "not a revision" {
			f.Error("the store took the caller's revision")
		}
		f.wantRecord(r)
	}},
	{"GetAbsent", func(f *fixture) {
		f.wantNotFound("a")
		f.create(f.record("a"))
		f.wantNotFound("b")
	}},
	{"Replace", func(f *fixture) {
		r := f.record("a")
		r.Owner, r.Expires = "owner", time.Now().Add(time.Hour)
		first := f.create(r)
		r.Revision = first
		r.Data, r.Owner, r.Expires = []byte("new"), "another", time.Now().Add(2*time.Hour)
		second, err := f.Replace(f.ctx, r)
		if err != nil {
			f.Fatalf("Replace: %v", err)
		}
		if second == first {
			f.Error("Replace kept the revision")
		}
		r.Revision = second
		f.wantRecord(r)

		r.Owner, r.Expires, r.Data = "", time.Time{}, nil
		if r.Revision, err = f.Replace(f.ctx, r); err != nil {
			f.Fatalf("Replace: %v", err)
		}
		f.wantRecord(r)
	}},
	{"ReplaceAbsent", func(f *fixture) {
		for _, revision := range []string{"", "1", "not a revision"} {
			r := f.record("a")
			r.Revision = revision
			_, err := f.Replace(f.ctx, r)
			f.wantError("Replace of an absent key with revision "+revision, err, store.ErrNotFound)
		}
		f.wantNotFound("a")
	}},
	{"ReplaceStale", func(f *fixture) {
		r := f.record("a")
		stale := f.create(r)
		r.Revision = stale
		current, err := f.Replace(f.ctx, r)
		if err != nil {
			f.Fatalf("Replace: %v", err)
		}
		for _, revision := range []string{stale, "", "not a revision", current + "0", "-1"} {
			other := store.Record{Kind: f.kind, Key: "a", Revision: revision, Data: []byte("lost update")}
			_, err := f.Replace(f.ctx, other)
			f.wantError(fmt.Sprintf("Replace with revision %q", revision), err, store.ErrConflict)
		}
		r.Revision = current
		f.wantRecord(r)
	}},
	{"Delete", func(f *fixture) {
		revision := f.create(f.record("a"))
		f.create(f.record("b"))
		if err := f.Delete(f.ctx, f.kind, "a", revision); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		f.wantNotFound("a")
		f.wantRecord(f.record("b"))
		f.wantError("Delete again", f.Delete(f.ctx, f.kind, "a", revision), store.ErrNotFound)
		f.wantError("Delete whatever is there again", f.Delete(f.ctx, f.kind, "a", ""), store.ErrNotFound)
	}},
	{"DeleteWhateverIsThere", func(f *fixture) {
		f.create(f.record("a"))
		if err := f.Delete(f.ctx, f.kind, "a", ""); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		f.wantNotFound("a")
	}},
	{"DeleteStale", func(f *fixture) {
		r := f.record("a")
		stale := f.create(r)
		r.Revision = stale
		var err error
		if r.Revision, err = f.Replace(f.ctx, r); err != nil {
			f.Fatalf("Replace: %v", err)
		}
		for _, revision := range []string{stale, "not a revision", "-1"} {
			f.wantError(fmt.Sprintf("Delete with revision %q", revision),
				f.Delete(f.ctx, f.kind, "a", revision), store.ErrConflict)
		}
		f.wantRecord(r)
	}},
	{"RevisionIsNeverReused", func(f *fixture) {
		seen := make(map[string]bool)
		r := f.record("a")
		note := func(revision string) {
			if seen[revision] {
				f.Fatalf("revision %q came twice", revision)
			}
			seen[revision] = true
		}
		for range 20 {
			r.Revision = f.create(r)
			note(r.Revision)
			next, err := f.Replace(f.ctx, r)
			if err != nil {
				f.Fatalf("Replace: %v", err)
			}
			note(next)
			if err := f.Delete(f.ctx, f.kind, "a", next); err != nil {
				f.Fatalf("Delete: %v", err)
			}
		}
		f.create(r)
		_, err := f.Replace(f.ctx, r)
		f.wantError("Replace with a revision from before the deletion", err, store.ErrConflict)
		f.wantError("Delete with a revision from before the deletion",
			f.Delete(f.ctx, f.kind, "a", r.Revision), store.ErrConflict)
	}},
	{"KindsDoNotMix", func(f *fixture) {
		f.create(f.record("a"))
		other := store.Record{Kind: newKind(), Key: "a", Data: []byte("other kind")}
		f.create(other)
		f.wantRecord(f.record("a"))
		got, err := f.Get(f.ctx, other.Kind, "a")
		if err != nil {
			f.Fatalf("Get: %v", err)
		}
		wantSame(f.T, got, other)
		if err := f.Delete(f.ctx, other.Kind, "a", ""); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		f.wantRecord(f.record("a"))
		if keys := f.list(store.Query{}); len(keys) != 1 {
			f.Errorf("List: got %q, want only a", keys)
		}
	}},
	{"DataIsNotAliased", func(f *fixture) {
		want := f.record("a")
		given := f.record("a")
		revision := f.create(given)
		spoil(given.Data)
		f.wantRecord(want)
		spoil(f.get("a").Data)
		f.wantRecord(want)
		page, err := f.List(f.ctx, f.kind, store.Query{})
		if err != nil || len(page) != 1 {
			f.Fatalf("List: got %d records and error %v", len(page), err)
		}
		spoil(page[0].Data)
		f.wantRecord(want)

		replacement := store.Record{Kind: f.kind, Key: "a", Revision: revision, Data: []byte("replaced")}
		if _, err := f.Replace(f.ctx, replacement); err != nil {
			f.Fatalf("Replace: %v", err)
		}
		spoil(replacement.Data)
		f.wantRecord(store.Record{Kind: f.kind, Key: "a", Data: []byte("replaced")})
	}},
}

func spoil(data []byte) { copy(data, bytes.Repeat([]byte("x"), len(data))) }
