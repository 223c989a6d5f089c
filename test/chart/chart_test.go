// Package chart tests what the Helm chart renders, without a cluster. That it works in one is tested in package e2e.
package chart

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"dex/test/servers"
)

const (
	repository = "../.."
	folder     = repository + "/deploy/charts/dex"
	// clusterVersion is that of the cluster that the chart is rendered for.
	clusterVersion = "1.37.0"
)

// minimal are the fewest values that work.
const minimal = `
config:
  issuer: https://dex.example.com/dex
  storage: {type: kubernetes, config: {inCluster: true}}
`

// strict decodes YAML into Kubernetes's own types, and refuses unknown and repeated members.
var strict = func() runtime.Decoder {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, definitions.AddToScheme, monitoring.AddToScheme, gateway.Install} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Yaml: true, Strict: true})
}()

// helm runs helm with values as its standard input.
func helm(t *testing.T, values string, args ...string) (output string, err error) {
	t.Helper()
	program, err := servers.Program(t.Context(), "helm")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(values), &errs
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%w: %s", err, &errs)
	}
	return string(out), nil
}

// template renders the chart as release dex in the namespace identity.
func template(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	return helm(t, values, append([]string{"template", "dex", folder, "--namespace", "identity", "--values", "-",
		"--kube-version", clusterVersion}, args...)...)
}

// rendered are the chart's objects.
type rendered []runtime.Object

// render renders the chart, and decodes every object strictly.
func render(t *testing.T, values string, args ...string) rendered {
	t.Helper()
	text, err := template(t, values, args...)
	if err != nil {
		t.Fatalf("helm template with\n%s\n%v", values, err)
	}
	return decode(t, text)
}

func decode(t *testing.T, text string) (objects rendered) {
	t.Helper()
	for _, document := range strings.Split(text, "\n---\n") {
		document = strings.TrimPrefix(document, "---\n")
		if strings.TrimSpace(document) == "" {
			continue
		}
		object, _, err := strict.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects
}

// all returns the objects of a type.
func all[T runtime.Object](r rendered) (found []T) {
	for _, object := range r {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	return found
}

// one returns the only object of a type.
func one[T runtime.Object](t *testing.T, r rendered) T {
	t.Helper()
	found := all[T](r)
	if len(found) != 1 {
		var none T
		t.Fatalf("%d objects of type %T instead of one", len(found), none)
	}
	return found[0]
}

func (r rendered) pod(t *testing.T) *corev1.PodSpec {
	t.Helper()
	return &one[*appsv1.Deployment](t, r).Spec.Template.Spec
}

func (r rendered) container(t *testing.T) *corev1.Container {
	t.Helper()
	return &r.pod(t).Containers[0]
}

// config returns the configuration file in the chart's Secret.
func (r rendered) config(t *testing.T) string {
	t.Helper()
	return string(one[*corev1.Secret](t, r).Data["config.yaml"])
}

// kinds counts the objects of each kind.
func (r rendered) kinds() map[string]int {
	count := map[string]int{}
	for _, object := range r {
		count[object.GetObjectKind().GroupVersionKind().Kind]++
	}
	return count
}

func metadata(t *testing.T, object runtime.Object) metav1.Object {
	t.Helper()
	m, ok := object.(metav1.Object)
	if !ok {
		t.Fatalf("%T has no metadata", object)
	}
	return m
}
