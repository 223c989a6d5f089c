package kubernetes

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	rooms "dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/signing"
)

// TestMembersAreThoseOfTheDocuments fails when a document has got a member that Replace would not take away again.
func TestMembersAreThoseOfTheDocuments(t *testing.T) {
	for kind, document := range map[string]reflect.Type{
		rooms.Kind.Name():      reflect.TypeFor[rooms.Client](),
		local.Kind.Name():      reflect.TypeFor[local.User](),
		federation.Kind.Name(): reflect.TypeFor[federation.Definition](),
		signing.Kind.Name():    reflect.TypeFor[signing.Keyset](),
	} {
		shared := sharedKinds[kind]
		if shared == nil {
			t.Errorf("kind %s is not upstream's object", kind)
			continue
		}
		for _, field := range reflect.VisibleFields(document) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "-" && field.IsExported() && !field.Anonymous && !slices.Contains(shared.members, name) {
				t.Errorf("kind %s: the member %s of the document is not known", kind, name)
			}
		}
	}
}

// A kind that says that it is upstream's object must have a place as such, and the reverse.
func TestKindsSayWhatTheLayoutSays(t *testing.T) {
	if err := checkKinds(); err != nil {
		t.Error(err)
	}
	sharedKinds["lease"] = sharedKinds["client"]
	defer delete(sharedKinds, "lease")
	if err := checkKinds(); err == nil {
		t.Error("a kind of our own as upstream's object: no error")
	}
}
