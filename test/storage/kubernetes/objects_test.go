package kubernetes_test

import (
	"bytes"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/store"
)

const (
	exampleApp = "mv4gc3lqnrss2ylqodf7fhheqqrcgji"          // upstream's name for the client example-app
	admin      = "mfsg22loibsxqylnobwgkltdn5w4x4u44scceizf" // and for the user admin@example.com
)

// TestUpstreamsObjectsAreRead reads objects in upstream's format.
func TestUpstreamsObjectsAreRead(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{
		"id": "example-app", "secret": "s", "redirectURIs": []string{"http://127.0.0.1/callback"}, "public": true,
		"name": "Example", "ssoSharedWith": nil,
	})
	post(t, n, "passwords", "Password", admin, object{
		"email": "admin@example.com", "hash": "aGFzaA==", "username": "admin", "userID": "1",
	})
	post(t, n, "connectors", "Connector", "my-ldap", object{
		"id": "my-ldap", "type": "ldap", "name": "LDAP", "config": "e30=",
	})
	post(t, n, "signingkeies", "SigningKey", "openid-connect-keys", object{"nextRotation": "2030-01-02T03:04:05.6Z"})

	c, err := store.In(s, client.Kind).Get(t.Context(), "example-app")
	want := client.Client{
		ID: "example-app", Secret: "s", RedirectURIs: []string{"http://127.0.0.1/callback"}, Public: true, Name: "Example",
	}
	if err != nil || !reflect.DeepEqual(c.Value, want) {
		t.Errorf("client: got %+v, %v; want %+v", c.Value, err, want)
	}
	p, err := store.In(s, local.Kind).Get(t.Context(), "admin@example.com")
	if err != nil || string(p.Value.Hash) != "hash" || p.Value.Username != "admin" || p.Value.UserID != "1" {
		t.Errorf("password: got %+v, %v", p.Value, err)
	}
	f, err := store.In(s, federation.Kind).Get(t.Context(), "my-ldap")
	if err != nil || f.Value.Type != "ldap" || string(f.Value.Settings) != "{}" {
		t.Errorf("connector: got %+v, %v", f.Value, err)
	}
	k, err := s.Get(t.Context(), "keys", "openid-connect-keys")
	if err != nil || string(k.Data) != `{"nextRotation":"2030-01-02T03:04:05.6Z"}` {
		t.Errorf("keys: got %s, %v", k.Data, err)
	}
	for kind, key := range map[string]string{
		"client": "example-app", "password": "admin@example.com", "connector": "my-ldap", "keys": "openid-connect-keys",
	} {
		if got := keys(t, s, kind, store.Query{}); !slices.Equal(got, []string{key}) {
			t.Errorf("List %s: got %q", kind, got)
		}
	}
}

// TestObjectsAreUpstreams checks that the storage writes upstream's format.
func TestObjectsAreUpstreams(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	document := client.Client{ID: "example-app", Secret: "s", RedirectURIs: []string{"http://a"}, Name: "Example"}
	create(t, s, "client", "example-app", document)
	create(t, s, "password", "admin@example.com", local.User{Email: "admin@example.com", Hash: []byte("hash"), UserID: "1"})
	create(t, s, "connector", "my-ldap", federation.Definition{ID: "my-ldap", Type: "ldap", Settings: []byte("{}")})
	create(t, s, "keys", "openid-connect-keys", object{"nextRotation": "2030-01-02T03:04:05Z"})
	for _, c := range []struct {
		plural, kind, name string
		members            object
	}{
		{"oauth2clients", "OAuth2Client", exampleApp, object{
			"id": "example-app", "secret": "s", "redirectURIs": []any{"http://a"}, "public": false, "name": "Example",
			"ssoSharedWith": nil,
		}},
		{"passwords", "Password", admin, object{"email": "admin@example.com", "hash": "aGFzaA==", "userID": "1"}},
		{"connectors", "Connector", "my-ldap", object{"id": "my-ldap", "type": "ldap", "config": "e30="}},
		{"signingkeies", "SigningKey", "openid-connect-keys", object{"nextRotation": "2030-01-02T03:04:05Z"}},
	} {
		o := get(t, n, c.plural, c.name)
		if o["apiVersion"] != "dex.coreos.com/v1" || o["kind"] != c.kind {
			t.Errorf("%s: got a %v of %v", c.plural, o["kind"], o["apiVersion"])
		}
		delete(o, "apiVersion")
		delete(o, "kind")
		delete(o, "metadata")
		if !reflect.DeepEqual(o, c.members) {
			t.Errorf("%s: got %v, want %v", c.plural, o, c.members)
		}
	}
}

// TestReplaceKeepsWhatOthersHavePutThere replaces a client that an operator has given fields that we don't know.
func TestReplaceKeepsWhatOthersHavePutThere(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{
		"metadata": object{
			"labels": object{"team": "a"}, "annotations": object{"note": "b"}, "finalizers": []string{"example.com/keep"},
			"ownerReferences": []object{{"apiVersion": "v1", "kind": "Owner", "name": "o", "uid": "1"}},
		},
		"id": "example-app", "secret": "old", "redirectURIs": []string{"http://a"}, "unknown": object{"n": 1},
	})
	before := get(t, n, "oauth2clients", exampleApp)
	_, err := store.In(s, client.Kind).Update(t.Context(), "example-app", func(d *client.Client) error {
		d.Secret, d.RedirectURIs = "new", nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after := get(t, n, "oauth2clients", exampleApp)
	for _, member := range []string{"labels", "annotations", "finalizers", "ownerReferences", "uid", "creationTimestamp"} {
		was, is := before["metadata"].(object)[member], after["metadata"].(object)[member]
		if was == nil || !reflect.DeepEqual(was, is) {
			t.Errorf("metadata.%s was %v and is %v", member, was, is)
		}
	}
	if !reflect.DeepEqual(after["unknown"], before["unknown"]) {
		t.Errorf("what we don't know was %v and is %v", before["unknown"], after["unknown"])
	}
	if _, there := after["redirectURIs"]; there || after["secret"] != "new" {
		t.Errorf("got redirectURIs %v and secret %v, want none and new", after["redirectURIs"], after["secret"])
	}
	// Nobody else removes the finalizer.
	edit(t, n, "oauth2clients", exampleApp, func(o object) { o["metadata"].(object)["finalizers"] = []string{} })
}

// TestSealedKeys replaces keys by their sealed form and back. Nothing of the other form may remain.
func TestSealedKeys(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	r := create(t, s, "keys", "openid-connect-keys", object{"signingKey": object{"d": "secret"}, "nextRotation": "2030-01-02T03:04:05Z"})
	for _, data := range []string{`{"sealed":"x"}`, `{"signingKey":{"d":"other"}}`} {
		r.Data = []byte(data)
		var err error
		if r.Revision, err = s.Replace(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), "keys", "openid-connect-keys")
		if err != nil || string(got.Data) != data || got.Revision != r.Revision {
			t.Errorf("got %s, %v; want %s", got.Data, err, data)
		}
	}
}

// TestObjectsThatAreNotWhatTheirNameSays checks that such objects are neither taken for another record nor changed.
func TestObjectsThatAreNotWhatTheirNameSays(t *testing.T) {
	n := fresh(t)
	var logged bytes.Buffer
	s := open(t, config(n), slog.New(slog.NewTextHandler(&logged, nil)))
	create(t, s, "client", "good", client.Client{ID: "good"})
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{"id": "another"})
	post(t, n, "oauth2clients", "OAuth2Client", "by-hand", object{"id": "by-hand"})
	post(t, n, "oauth2clients", "OAuth2Client", "broken", object{"id": 5})
	post(t, n, "passwords", "Password", admin, object{"hash": "aGFzaA=="})

	_, err := s.Get(t.Context(), "client", "example-app")
	wantRefusal(t, "Get of a client", err)
	_, err = s.Get(t.Context(), "password", "admin@example.com")
	wantRefusal(t, "Get of a user", err)
	wantRefusal(t, "Delete", s.Delete(t.Context(), "client", "example-app", ""))
	_, err = s.Get(t.Context(), "client", "by-hand") // the object has another name
	wantIs(t, "Get of a client with another name", err, store.ErrNotFound)
	for range 3 {
		if got := keys(t, s, "client", store.Query{}); !slices.Equal(got, []string{"good"}) {
			t.Errorf("List: got %q", got)
		}
	}
	for _, name := range []string{exampleApp, "by-hand", "broken"} {
		if count := strings.Count(logged.String(), "name="+name); count != 1 {
			t.Errorf("%s: %d warnings, want one", name, count)
		}
		get(t, n, "oauth2clients", name) // still there
	}

	// The same goes for our own records.
	create(t, s, "login", "a", 1)
	ours := names(t, n, "authrequests")
	edit(t, n, "authrequests", ours[0], func(o object) { o["recordKey"] = "Yg==" })
	_, err = s.Get(t.Context(), "login", "a")
	wantRefusal(t, "Get of a login", err)
	if got := keys(t, s, "login", store.Query{}); len(got) != 0 {
		t.Errorf("List of logins: got %q", got)
	}
}

// TestSharedRecordsHaveTheirBounds shows what can't be stored as upstream's objects.
func TestSharedRecordsHaveTheirBounds(t *testing.T) {
	rec := &recorder{}
	s := open(t, config(fresh(t)), quiet, rec.option())
	rec.take()
	long := strings.Repeat("x", 151)
	for what, r := range map[string]store.Record{
		"long id":        {Kind: "client", Key: long, Data: []byte(`{"id":"` + long + `"}`)},
		"bad name":       {Kind: "connector", Key: "My LDAP", Data: []byte(`{"id":"My LDAP"}`)},
		"parent":         {Kind: "connector", Key: "..", Data: []byte(`{"id":".."}`)},
		"upper case":     {Kind: "password", Key: "A@b", Data: []byte(`{"email":"A@b"}`)},
		"no id":          {Kind: "client", Key: "a", Data: []byte(`{}`)},
		"another id":     {Kind: "client", Key: "a", Data: []byte(`{"id":"b"}`)},
		"owner":          {Kind: "client", Key: "a", Owner: "o", Data: []byte(`{"id":"a"}`)},
		"expiry":         {Kind: "client", Key: "a", Expires: time.Now().Add(time.Hour), Data: []byte(`{"id":"a"}`)},
		"no object":      {Kind: "keys", Key: "a", Data: []byte(`[]`)},
		"null":           {Kind: "keys", Key: "a", Data: []byte(`null`)},
		"metadata of it": {Kind: "keys", Key: "a", Data: []byte(`{"metadata":{}}`)},
	} {
		_, err := s.Create(t.Context(), r)
		wantRefusal(t, "Create with "+what, err)
		r.Revision = "1"
		_, err = s.Replace(t.Context(), r)
		wantRefusal(t, "Replace with "+what, err)
	}
	rec.want(t, "what is refused")
	for kind, key := range map[string]string{"client": long, "connector": "..", "password": "A@b", "keys": "?"} {
		_, err := s.Get(t.Context(), kind, key)
		wantIs(t, "Get", err, store.ErrNotFound)
		wantIs(t, "Delete", s.Delete(t.Context(), kind, key, ""), store.ErrNotFound)
	}
	rec.want(t, "what can't be there")
}

// TestFinalizers shows that a deleted record is gone, even if its object stays for a while.
func TestFinalizers(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	create(t, s, "client", "example-app", client.Client{ID: "example-app"})
	edit(t, n, "oauth2clients", exampleApp, func(o object) {
		o["metadata"].(object)["finalizers"] = []string{"example.com/keep"}
	})
	if err := s.Delete(t.Context(), "client", "example-app", ""); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(t.Context(), "client", "example-app")
	wantIs(t, "Get", err, store.ErrNotFound)
	wantIs(t, "Delete", s.Delete(t.Context(), "client", "example-app", ""), store.ErrNotFound)
	if got := keys(t, s, "client", store.Query{}); len(got) != 0 {
		t.Errorf("List: got %q", got)
	}
	_, err = s.Create(t.Context(), store.Record{Kind: "client", Key: "example-app", Data: []byte(`{"id":"example-app"}`)})
	wantRefusal(t, "Create", err)
	edit(t, n, "oauth2clients", exampleApp, func(o object) { o["metadata"].(object)["finalizers"] = []string{} })
	create(t, s, "client", "example-app", client.Client{ID: "example-app"})
}
