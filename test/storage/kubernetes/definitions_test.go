package kubernetes_test

import (
	"net/http"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/kubernetes"
)

// redefine replaces the definitions by the documented ones, except for some with other versions and another scope. No other test
// may run meanwhile.
func redefine(t *testing.T, others ...object) {
	t.Helper()
	undefine(t)
	var names []string
	for _, definition := range others {
		names = append(names, definition["metadata"].(object)["name"].(string))
		if _, err := server.Do(t.Context(), http.MethodPost, definitions, definition); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Define(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
}

func definition(plural, singular, kind, scope string, versions ...object) object {
	return object{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": object{"name": plural + ".dex.coreos.com"},
		"spec": object{
			"group": "dex.coreos.com", "scope": scope, "versions": versions,
			"names": object{"plural": plural, "singular": singular, "kind": kind},
		},
	}
}

// refreshTokens returns a definition of refresh tokens.
func refreshTokens(versions ...object) object {
	return definition("refreshtokens", "refreshtoken", "RefreshToken", "Namespaced", versions...)
}

// version returns a version of a definition. Without a schema it keeps everything.
func version(name string, storage bool, schema object) object {
	if schema == nil {
		schema = object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	}
	return object{"name": name, "served": true, "storage": storage, "schema": object{"openAPIV3Schema": schema}}
}

// TestOtherDefinitions starts with definitions of another age than ours.
func TestOtherDefinitions(t *testing.T) {
	n := fresh(t)
	defer undefine(t) // before the next test
	check := config(n)
	check.CRDHandling = kubernetes.CRDCheck
	if err := server.AllowDefinitions(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	t.Run("older, or of the cluster", func(t *testing.T) {
		redefine(t, refreshTokens(version("v1beta1", true, nil)),
			definition("passwords", "password", "Password", "Cluster", version("v1", true, nil)))
		wantOpenError(t, check, "don't serve version v1: refreshtokens.dex.coreos.com, passwords.dex.coreos.com")
		wantOpenError(t, config(n), "refreshtokens.dex.coreos.com is there, but does not serve version v1 in namespaces")
	})
	t.Run("newer", func(t *testing.T) {
		redefine(t, refreshTokens(version("v1", false, nil), version("v2", true, nil)))
		s := open(t, check, quiet)
		r := create(t, s, "refresh", "a", 1)
		if _, err := s.Replace(t.Context(), r); err != nil {
			t.Error(err)
		}
		if got := keys(t, s, "refresh", store.Query{}); len(got) != 1 {
			t.Errorf("List: got %q", got)
		}
	})
	t.Run("with a schema", func(t *testing.T) {
		redefine(t, refreshTokens(version("v1", true, object{
			"type": "object", "properties": object{"clientID": object{"type": "string"}},
		})))
		s := open(t, check, quiet)
		_, err := s.Create(t.Context(), store.Record{Kind: "refresh", Key: "a", Data: []byte("1")})
		wantRefusal(t, "Create of what the schema drops", err)
		if err == nil || !strings.Contains(err.Error(), `unknown field "record`) {
			t.Errorf("the error does not say what is wrong: %v", err)
		}
		if left := names(t, n, "refreshtokens"); len(left) != 0 {
			t.Errorf("half a record is there: %q", left)
		}
	})
}
