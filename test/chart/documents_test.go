package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// manifests matches the YAML in a document.
var manifests = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// guideObjects returns the objects in a guide that are of Kubernetes's own types.
func guideObjects(t *testing.T, guide string) (objects rendered) {
	t.Helper()
	text, err := os.ReadFile(repository + "/docs/" + guide)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range manifests.FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(block[1], "apiVersion: ") && !strings.Contains(block[1], "apiVersion: config.dex.coreos.com/") {
			objects = append(objects, decode(t, block[1])...)
		}
	}
	return objects
}

// documented returns the only object of a type in the guide to the storage.
func documented[T runtime.Object](t *testing.T) T {
	t.Helper()
	return one[T](t, guideObjects(t, "storage-kubernetes.md"))
}

// TestRightsAreTheDocumentedOnes holds the chart's Role to what the guide says that Dex needs.
func TestRightsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	equal(t, one[*rbacv1.Role](t, render(t, minimal)).Rules, documented[*rbacv1.Role](t).Rules)
}

// withResources uses a storage without rights, so that only those for custom resources are there.
const withResources = sql + "  kubernetes: {resources: {inCluster: true, clientNamespaces: [team-a, team-b]}}\n"

// TestResources holds the Roles for custom resources to their guide, and their definitions to those for administrators.
func TestResources(t *testing.T) {
	t.Parallel()
	r := render(t, withResources)
	want := map[string][]rbacv1.PolicyRule{}
	for _, role := range all[*rbacv1.Role](guideObjects(t, "kubernetes-resources.md")) {
		want[role.Name] = role.Rules
	}
	got := map[string][]rbacv1.PolicyRule{}
	for _, role := range all[*rbacv1.Role](r) {
		got[role.Namespace] = role.Rules
	}
	equal(t, got, map[string][]rbacv1.PolicyRule{
		"identity": want["dex-resources"], "team-a": want["dex-clients"], "team-b": want["dex-clients"],
	})
	for _, binding := range all[*rbacv1.RoleBinding](r) {
		equal(t, binding.Subjects[0].Name+" of "+binding.Subjects[0].Namespace, "dex of identity")
	}
	equal(t, *r.pod(t).AutomountServiceAccountToken, true)
	equal(t, len(all[*definitions.CustomResourceDefinition](r)), 3)
	equal(t, folderText(t, folder+"/resources"), folderText(t, repository+"/deploy/crds"))
}

// TestMonitoring holds the chart's alerts and dashboard to those of deploy/monitoring, as files and as they are rendered.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	original := folderText(t, repository+"/deploy/monitoring")
	delete(original, "alerts_test.yaml")
	equal(t, folderText(t, folder+"/monitoring"), original)

	r := render(t, minimal)
	equal(t, len(all[*monitoring.PrometheusRule](r))+len(all[*corev1.ConfigMap](r)), 0)
	r = render(t, minimal+"prometheusRule: {enabled: true}\ngrafanaDashboard: {enabled: true}\n")
	var want monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict([]byte(original["alerts.yaml"]), &want); err != nil {
		t.Fatal(err)
	}
	rule, dashboard := one[*monitoring.PrometheusRule](t, r), one[*corev1.ConfigMap](t, r)
	equal(t, rule.Spec, want)
	equal(t, strings.TrimSpace(dashboard.Data["dex.json"]), strings.TrimSpace(original["dashboard.json"]))
	equal(t, rule.Name+" "+rule.Namespace+" "+dashboard.Name+" "+dashboard.Namespace, "dex identity dex-dashboard identity")
	equal(t, dashboard.Labels["grafana_dashboard"], "1")

	r = render(t, minimal+`
prometheusRule: {enabled: true, namespace: monitoring, labels: {release: prometheus}, annotations: {a: b}}
grafanaDashboard: {enabled: true, namespace: grafana, labels: {grafana_dashboard: "yes"}, annotations: {grafana_folder: Login}}
`)
	rule, dashboard = one[*monitoring.PrometheusRule](t, r), one[*corev1.ConfigMap](t, r)
	equal(t, rule.Namespace+rule.Labels["release"]+rule.Annotations["a"], "monitoringprometheusb")
	equal(t, dashboard.Namespace+dashboard.Labels["grafana_dashboard"]+dashboard.Annotations["grafana_folder"], "grafanayesLogin")
}

// folderText returns the contents of a folder's files.
func folderText(t *testing.T, path string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(path, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[file.Name()] = string(text)
	}
	return content
}

// TestGuideRenders renders the values of docs/kubernetes.md, which are the beginning of an installation and parts to add to it.
func TestGuideRenders(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(repository + "/docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := indented.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 5 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, block := range blocks {
		values := strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n")
		if !strings.Contains(values, "\nconfig:") {
			render(t, minimal+values)
			continue
		}
		render(t, values)
		if text := notes(t, values); strings.Contains(text, "WARNING") {
			t.Errorf("the guide's values get a warning: %s", text)
		}
	}
}

// indented matches YAML in a document, also within a list.
var indented = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")

// TestDefinitionsAreTheDocumentedOnes holds the chart's definitions to the guide's.
func TestDefinitionsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	want, got := map[string]definitions.CustomResourceDefinitionSpec{}, map[string]definitions.CustomResourceDefinitionSpec{}
	for _, d := range all[*definitions.CustomResourceDefinition](guideObjects(t, "storage-kubernetes.md")) {
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
