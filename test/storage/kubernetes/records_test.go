package kubernetes_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
)

// TestUpstreamsObjectsBesideOurs shows that our records and upstream's objects in one resource don't see each other.
func TestUpstreamsObjectsBesideOurs(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	over := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)
	resources := map[string]struct{ plural, kind string }{
		"code": {"authcodes", "AuthCode"}, "login": {"authrequests", "AuthRequest"}, "refresh": {"refreshtokens", "RefreshToken"},
		"offline": {"offlinesessionses", "OfflineSessions"}, "seal": {"signingkeies", "SigningKey"},
	}
	for kind, r := range resources {
		for i := range 3 {
			post(t, n, r.plural, r.kind, fmt.Sprint("upstreams", i), object{"clientID": "c", "expiry": over})
		}
		live := store.Record{Kind: kind, Key: "live", Data: []byte("x")}
		dead := store.Record{Kind: kind, Key: "dead", Data: []byte("x"), Expires: time.Now().Add(-time.Minute)}
		for _, record := range []store.Record{live, dead} {
			if _, err := s.Create(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}
	}
	for kind, r := range resources {
		if got := keys(t, s, kind, store.Query{}); !slices.Equal(got, []string{"live"}) {
			t.Errorf("List %s: got %q", kind, got)
		}
		if n, err := s.Sweep(t.Context(), kind, time.Now(), 0); n != 1 || err != nil {
			t.Errorf("Sweep %s: got %d, %v", kind, n, err)
		}
		left := names(t, n, r.plural)
		if len(left) != 4 || !slices.Equal(left[1:], []string{"upstreams0", "upstreams1", "upstreams2"}) ||
			!strings.HasPrefix(left[0], "dex-") || len(left[0]) != 56 {
			t.Errorf("%s has the objects %q", r.plural, left)
		}
		var upstreams []string
		err := s.UpstreamObjects(t.Context(), r.plural, func(o json.RawMessage) error {
			var head struct{ Metadata struct{ Name string } }
			upstreams = append(upstreams, "")
			err := json.Unmarshal(o, &head)
			upstreams[len(upstreams)-1] = head.Metadata.Name
			return err
		})
		if err != nil || !slices.Equal(upstreams, left[1:]) {
			t.Errorf("UpstreamObjects of %s: got %q, %v", r.plural, upstreams, err)
		}
	}
	if got := keys(t, s, "keys", store.Query{}); !slices.Equal(got, []string{"upstreams0", "upstreams1", "upstreams2"}) {
		t.Errorf("List keys: got %q", got)
	}
	stop := errors.New("stop")
	wantIs(t, "UpstreamObjects", s.UpstreamObjects(t.Context(), "authcodes", func(json.RawMessage) error { return stop }), stop)
	wantRefusal(t, "UpstreamObjects of another resource", s.UpstreamObjects(t.Context(), "secrets", nil))
}

// TestUpstreamSweepsOurs checks the member by which upstream, if people go back to it, deletes expired records and only those.
func TestUpstreamSweepsOurs(t *testing.T) {
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for kind, plural := range map[string]string{"code": "authcodes", "login": "authrequests"} {
		for want, at := range map[string]time.Time{expires.Format(time.RFC3339): expires, "9999-12-31T23:59:59Z": {}} {
			n := fresh(t)
			s := open(t, config(n), quiet)
			if _, err := s.Create(t.Context(), store.Record{Kind: kind, Key: "a", Expires: at}); err != nil {
				t.Fatal(err)
			}
			if got := get(t, n, plural, names(t, n, plural)[0])["expiry"]; got != want {
				t.Errorf("%s: upstream sees the expiry %v, want %s", kind, got, want)
			}
		}
	}
}

// TestRequests counts each operation's requests.
func TestRequests(t *testing.T) {
	rec := &recorder{}
	n := fresh(t)
	s := open(t, config(n), quiet, rec.option())
	rec.take()
	r := store.Record{Kind: "refresh", Key: "a", Data: []byte("x"), Expires: time.Now().Add(time.Hour)}
	var err error
	check := func(what string, requests ...string) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		rec.want(t, what, requests...)
	}
	const one, all = " refreshtokens/*", " refreshtokens"
	r.Revision, err = s.Create(t.Context(), r)
	check("Create", "POST"+all)
	_, err = s.Get(t.Context(), r.Kind, r.Key)
	check("Get", "GET"+one)
	r.Revision, err = s.Replace(t.Context(), r)
	check("Replace", "PUT"+one)
	_, err = s.List(t.Context(), r.Kind, store.Query{})
	check("List", "GET"+all)
	err = s.Delete(t.Context(), r.Kind, r.Key, r.Revision)
	check("Delete", "DELETE"+one)
	create(t, s, r.Kind, r.Key, 1)
	rec.take()
	err = s.Delete(t.Context(), r.Kind, r.Key, "")
	check("Delete whatever is there", "GET"+one, "DELETE"+one)
	_, err = s.Sweep(t.Context(), r.Kind, time.Now(), 0)
	check("Sweep", "GET"+all)
	err = s.Ping(t.Context())
	check("Ping", "GET signingkeies/*")

	c := create(t, s, "client", "a", object{"id": "a"})
	check("Create of a client", "POST oauth2clients")
	_, err = s.Replace(t.Context(), c)
	check("Replace of a client", "GET oauth2clients/*", "PUT oauth2clients/*")
}

// TestLostWritesOfEqualDocuments shows that only one of several writes that change nothing succeeds.
func TestLostWritesOfEqualDocuments(t *testing.T) {
	s := open(t, config(fresh(t)), quiet)
	r := create(t, s, "code", "a", object{"used": true})
	if _, err := s.Replace(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	_, err := s.Replace(t.Context(), r)
	wantIs(t, "the second Replace", err, store.ErrConflict)
}
