package chart

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func arguments(c *corev1.Container) string { return strings.Join(c.Args, " ") }

// ports returns the Service's ports, after checking that the container has them.
func ports(t *testing.T, r rendered) string {
	t.Helper()
	var list []string
	open := map[string]bool{}
	for _, p := range r.container(t).Ports {
		open[p.Name] = true
	}
	for _, p := range one[*corev1.Service](t, r).Spec.Ports {
		if !open[p.TargetPort.StrVal] || len(open) != len(one[*corev1.Service](t, r).Spec.Ports) {
			t.Errorf("the container's ports are %v", open)
		}
		list = append(list, fmt.Sprintf("%s:%d/%s", p.Name, p.Port, *p.AppProtocol))
	}
	return strings.Join(list, " ")
}

// volume returns what is mounted at a path.
func volume(t *testing.T, r rendered, path string) corev1.Volume {
	t.Helper()
	for _, mount := range r.container(t).VolumeMounts {
		if mount.MountPath != path {
			continue
		}
		for _, v := range r.pod(t).Volumes {
			if v.Name == mount.Name {
				return v
			}
		}
	}
	t.Fatalf("nothing is mounted at %s", path)
	return corev1.Volume{}
}

func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// TestNamesThatLookLikeNumbers shows that names stay text, as the API server takes nothing else.
func TestNamesThatLookLikeNumbers(t *testing.T) {
	t.Parallel()
	r := render(t, minimal+`
namespaceOverride: "456"
fullnameOverride: "789"
serviceAccount: {name: "321"}
configSecret: {name: "1e3"}
`)
	s := one[*corev1.Secret](t, r)
	equal(t, s.Namespace+"/"+s.Name, "456/1e3")
	equal(t, r.pod(t).ServiceAccountName, "321")
	equal(t, one[*corev1.Service](t, r).Name, "789")
}
