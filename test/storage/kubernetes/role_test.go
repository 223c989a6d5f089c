package kubernetes_test

import (
	"slices"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/kubernetes"
)

// verbs are those of the documented Role.
var verbs = []string{"get", "list", "watch", "create", "update", "delete"}

// TestEachVerbIsNeeded takes one verb after the other out of the documented Role. The error names it, and nothing is lost: the
// same store goes on as soon as the verb is back.
func TestEachVerbIsNeeded(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	r := create(t, s, "refresh", "a", 1)
	use := map[string]func() error{
		"get":  func() error { _, err := s.Get(t.Context(), "refresh", "a"); return err },
		"list": func() error { _, err := s.List(t.Context(), "refresh", store.Query{}); return err },
		"create": func() error {
			_, err := s.Create(t.Context(), store.Record{Kind: "refresh", Key: "b", Data: []byte("1")})
			return err
		},
		"update": func() (err error) {
			revision, err := s.Replace(t.Context(), r)
			if err == nil {
				r.Revision = revision
			}
			return err
		},
		"delete": func() error { return s.Delete(t.Context(), "refresh", "b", "") },
	}
	for _, verb := range []string{"get", "list", "create", "update", "delete"} {
		t.Run("S1-36 without "+verb, func(t *testing.T) {
			others := slices.DeleteFunc(slices.Clone(verbs), func(v string) bool { return v == verb })
			if err := server.SetVerbs(t.Context(), n, others...); err != nil {
				t.Fatal(err)
			}
			err := use[verb]()
			wantRefusal(t, verb, err)
			if err != nil && !strings.Contains(err.Error(), "cannot "+verb+" resource \"refreshtokens\"") {
				t.Errorf("the error does not say what is missing: %v", err)
			}
			if err := server.SetVerbs(t.Context(), n, verbs...); err != nil {
				t.Fatal(err)
			}
			if err := use[verb](); err != nil {
				t.Errorf("with the verb again: %v", err)
			}
		})
	}
}

// TestStartWithoutList shows what a Role without a verb that the start needs leads to.
func TestStartWithoutList(t *testing.T) {
	n := fresh(t)
	if err := server.SetVerbs(t.Context(), n, "get", "watch", "create", "update", "delete"); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, config(n), `cannot list resource "authcodes"`)
}

// TestRoleOpensNothingElse shows how little the documented Role is: with its account the storage can neither reach another
// namespace, nor Secrets in its own, nor create definitions.
func TestRoleOpensNothingElse(t *testing.T) {
	n, other := fresh(t), fresh(t)
	t.Run("S1-36 nothing but the namespace", func(t *testing.T) {
		file, err := server.WriteKubeConfig(other.Namespace, object{"token": n.Token})
		if err != nil {
			t.Fatal(err)
		}
		wantOpenError(t, kubernetes.Config{KubeConfigFile: file}, `in the namespace "`+other.Namespace+`"`)
		for what, args := range map[string][]string{
			"secrets": {"get", "secrets"}, "roles": {"create", "roles"}, "pods": {"list", "pods"},
			"definitions": {"create", "customresourcedefinitions"}, "nodes": {"list", "nodes"},
		} {
			args = append([]string{"auth", "can-i", "--as", n.User, "--namespace", n.Namespace}, args...)
			if out, err := server.Kubectl(t.Context(), args...); err == nil || strings.TrimSpace(out) != "no" {
				t.Errorf("%s: kubectl auth can-i says %q, %v", what, out, err)
			}
		}
	})
}
