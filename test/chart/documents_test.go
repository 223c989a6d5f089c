package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// manifests matches the YAML in a document.
var manifests = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// documentedObjects returns the objects in the guide to the storage.
func documentedObjects(t *testing.T) (objects rendered) {
	t.Helper()
	text, err := os.ReadFile(repository + "/docs/storage-kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range manifests.FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(block[1], "apiVersion: ") {
			objects = append(objects, decode(t, block[1])...)
		}
	}
	return objects
}

// documented returns the only object of a type in the guide to the storage.
func documented[T runtime.Object](t *testing.T) T {
	t.Helper()
	return one[T](t, documentedObjects(t))
}

// TestRightsAreTheDocumentedOnes holds the chart's Role to what the guide says that Dex needs.
func TestRightsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	equal(t, one[*rbacv1.Role](t, render(t, minimal)).Rules, documented[*rbacv1.Role](t).Rules)
}

// TestDefinitionsAreTheDocumentedOnes holds the chart's definitions to the guide's.
func TestDefinitionsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	want, got := map[string]definitions.CustomResourceDefinitionSpec{}, map[string]definitions.CustomResourceDefinitionSpec{}
	for _, d := range all[*definitions.CustomResourceDefinition](documentedObjects(t)) {
		want[d.Name] = d.Spec
	}
	for _, d := range all[*definitions.CustomResourceDefinition](render(t, minimal)) {
		got[d.Name] = d.Spec
		equal(t, d.Annotations["helm.sh/resource-policy"], "keep")
	}
	equal(t, got, want)
}

// row matches a row of the README's table: the value's name and its default.
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]*)` \\|")

// TestReadmeHasEveryValue holds the README's table to values.yaml, defaults included.
func TestReadmeHasEveryValue(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	leaves(t, "", values, want)
	got := map[string]string{}
	for _, r := range row.FindAllStringSubmatch(string(readme), -1) {
		if _, twice := got[r[1]]; twice {
			t.Errorf("%s is in two rows", r[1])
		}
		got[r[1]] = r[2]
	}
	equal(t, got, want)
}

// whole are the values that make one row although they have parts: what stands there goes into objects as it is.
var whole = []string{
	"podSecurityContext", "securityContext", "startupProbe", "livenessProbe", "readinessProbe", "resources",
}

// leaves adds the values' dotted names and defaults, as JSON.
func leaves(t *testing.T, prefix string, value any, into map[string]string) {
	t.Helper()
	parts, ok := value.(map[string]any)
	name := strings.TrimSuffix(prefix, ".")
	switch {
	case slices.Contains(whole, name):
		into[name] = "see values.yaml"
	case name == "ingress.hosts":
		into[name] = "see values.yaml"
	case ok && len(parts) > 0:
		for key, part := range parts {
			leaves(t, prefix+key+".", part, into)
		}
	case value == nil:
		into[name] = "null"
	default:
		text, err := yaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		into[name] = strings.TrimSpace(string(text))
		if list, isList := value.([]any); isList && len(list) > 0 {
			into[name] = strings.ReplaceAll(fmt.Sprint(list), " ", ", ")
		}
	}
}
