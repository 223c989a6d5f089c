package kubernetes_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/test/servers"
)

type object = map[string]any

// path returns the path of an object, or of a collection if the name is empty.
func path(n servers.KubernetesNamespace, plural, name string) string {
	return strings.TrimSuffix("/apis/dex.coreos.com/v1/namespaces/"+n.Namespace+"/"+plural+"/"+name, "/")
}

// post creates an object as somebody other than the storage would.
func post(t *testing.T, n servers.KubernetesNamespace, plural, kind, name string, members object) {
	t.Helper()
	o := maps.Clone(members)
	if o["metadata"] == nil {
		o["metadata"] = object{}
	}
	o["metadata"].(object)["name"] = name
	o["apiVersion"], o["kind"] = "dex.coreos.com/v1", kind
	if _, err := server.Do(t.Context(), http.MethodPost, path(n, plural, ""), o); err != nil {
		t.Fatal(err)
	}
}

// get reads an object as somebody else would.
func get(t *testing.T, n servers.KubernetesNamespace, plural, name string) object {
	t.Helper()
	body, err := server.Do(t.Context(), http.MethodGet, path(n, plural, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// edit changes an object as somebody else would.
func edit(t *testing.T, n servers.KubernetesNamespace, plural, name string, change func(object)) {
	t.Helper()
	o := get(t, n, plural, name)
	change(o)
	if _, err := server.Do(t.Context(), http.MethodPut, path(n, plural, name), o); err != nil {
		t.Fatal(err)
	}
}

// names returns the names of all objects of a resource.
func names(t *testing.T, n servers.KubernetesNamespace, plural string) []string {
	t.Helper()
	body, err := server.Do(t.Context(), http.MethodGet, path(n, plural, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.Metadata.Name)
	}
	return names
}

func keys(t *testing.T, s store.Store, kind string, q store.Query) []string {
	t.Helper()
	page, err := s.List(t.Context(), kind, q)
	if err != nil {
		t.Fatalf("List %s: %v", kind, err)
	}
	var keys []string
	for _, r := range page {
		keys = append(keys, r.Key)
	}
	return keys
}

// create stores a document and returns the record.
func create(t *testing.T, s store.Store, kind, key string, document any) store.Record {
	t.Helper()
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	r := store.Record{Kind: kind, Key: key, Data: data}
	if r.Revision, err = s.Create(t.Context(), r); err != nil {
		t.Fatalf("Create %s %s: %v", kind, key, err)
	}
	return r
}

// wantRefusal expects an error that says nothing about a record.
func wantRefusal(t *testing.T, what string, err error) {
	t.Helper()
	for _, answer := range []error{nil, store.ErrNotFound, store.ErrExists, store.ErrConflict} {
		if errors.Is(err, answer) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}
