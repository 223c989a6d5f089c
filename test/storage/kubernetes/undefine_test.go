package kubernetes_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

// undefine deletes all definitions, and with them all objects.
func undefine(t *testing.T) {
	t.Helper()
	for _, name := range defined(t) {
		if _, err := server.Do(t.Context(), http.MethodDelete, definitions+"/"+name, nil); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(patience); len(defined(t)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the definitions are still there after %v", patience)
		}
	}
}

func defined(t *testing.T) (names []string) {
	t.Helper()
	body, err := server.Do(t.Context(), http.MethodGet, definitions, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		names = append(names, item.Metadata.Name)
	}
	return names
}
