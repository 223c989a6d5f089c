package takeover_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"dex/internal/store/kubernetes"
	"dex/internal/takeover"
	"dex/test/servers"
	"dex/test/upstream"
)

// The documented role doesn't allow to look for upstream's sessions, which is as good as if there were none.
func TestKubernetes(t *testing.T) {
	server := kubernetesServer(t)
	for _, l := range []upstream.Layout{upstream.Release, upstream.Development} {
		t.Run(l.String(), func(t *testing.T) {
			n, err := server.NewNamespace(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			resources := []string{
				"authcodes", "authrequests", "oauth2clients", "signingkeies", "refreshtokens", "passwords", "offlinesessionses", "connectors",
			}
			if l == upstream.Development {
				resources = append(resources, "authsessions", "useridentities")
				if err := server.AllowUpstreamsSessions(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
			takeOverKubernetes(t, server, n, l, resources)
		})
	}
}

func takeOverKubernetes(t *testing.T, server *servers.Kubernetes, n servers.KubernetesNamespace, l upstream.Layout, resources []string) {
	t.Helper()
	s, err := kubernetes.Open(t.Context(), kubernetes.Config{KubeConfigFile: n.KubeConfigFile}, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	src := takeover.Kubernetes(s.UpstreamObjects)
	if layout, err := src.Layout(t.Context()); err != nil || layout != "" {
		t.Errorf("Layout of an empty namespace: %q, %v, want none", layout, err)
	}
	resource := func(plural string) string {
		return "/apis/dex.coreos.com/v1/namespaces/" + n.Namespace + "/" + plural
	}
	err = upstream.Kubernetes(t.Context(), l, func(ctx context.Context, plural string, object json.RawMessage) error {
		_, err := server.Do(ctx, "POST", resource(plural), object)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	takeOver(t, place{store: s, layout: l, source: src, shared: true, dump: func(t *testing.T) string {
		var out strings.Builder
		for _, plural := range resources {
			list, err := server.Do(t.Context(), "GET", resource(plural)+"?labelSelector=!dex.coreos.com/record", nil)
			if err != nil {
				t.Fatal(err)
			}
			var objects struct{ Items []json.RawMessage }
			if err := json.Unmarshal(list, &objects); err != nil {
				t.Fatal(err)
			}
			for _, o := range objects.Items {
				out.WriteString(plural + " " + string(o) + "\n")
			}
		}
		return out.String()
	}})
}

func TestKubernetesFailure(t *testing.T) {
	failed := errors.New("failed")
	src := takeover.Kubernetes(func(context.Context, string, func(json.RawMessage) error) error { return failed })
	if _, err := src.Layout(t.Context()); !errors.Is(err, failed) {
		t.Errorf("Layout: %v, want the error of the storage", err)
	}
}
