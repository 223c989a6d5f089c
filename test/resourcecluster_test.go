package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"dex/test/servers"
)

// A resourceCluster is an API server with Dex's own namespace and one that may have clients, and the documented rights.
type resourceCluster struct {
	server     *servers.Kubernetes
	home, team string
	kubeConfig string // of Dex's service account
}

const resourcesGuide = repository + "/docs/kubernetes-resources.md"

var defineResources sync.Mutex

// newResourceCluster makes two namespaces on the server that tests share.
func newResourceCluster(t *testing.T) *resourceCluster {
	t.Helper()
	server, err := pool.Kubernetes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fillResourceCluster(t, server)
}

func fillResourceCluster(t *testing.T, server *servers.Kubernetes) *resourceCluster {
	t.Helper()
	home, err := server.NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &resourceCluster{server: server, home: home.Namespace, team: home.Namespace + "-team", kubeConfig: home.KubeConfigFile}
	if _, err := server.Do(t.Context(), http.MethodPost, "/api/v1/namespaces", section{"metadata": section{"name": c.team}}); err != nil {
		t.Fatal(err)
	}
	defineResources.Lock()
	defer defineResources.Unlock()
	c.kubectl(t, "apply", "-f", repository+"/deploy/crds")
	for _, manifest := range resourceGuide(t, "yaml") {
		if strings.Contains(manifest, "kind: Role\n") {
			c.apply(t, manifest)
		}
	}
	return c
}

// resourceGuide returns the blocks of the guide in a language.
func resourceGuide(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(resourcesGuide)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	return found
}

// here puts the cluster's namespaces in the place of the guide's.
func (c *resourceCluster) here(text string) string {
	return strings.NewReplacer("namespace: dex\n", "namespace: "+c.home+"\n", "--namespace dex", "--namespace "+c.home, "team-a", c.team).Replace(text)
}

func (c *resourceCluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.server.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies manifests of the guide, or such as it has.
func (c *resourceCluster) apply(t *testing.T, manifests string) {
	t.Helper()
	if err := c.tryApply(t, manifests); err != nil {
		t.Fatal(err)
	}
}

func (c *resourceCluster) tryApply(t *testing.T, manifests string) error {
	t.Helper()
	_, err := c.server.Kubectl(t.Context(), "apply", "-f", writeFile(t, t.TempDir(), "manifests.yaml", c.here(manifests)))
	return err
}

func (c *resourceCluster) path(namespace, resource string) string {
	return "/apis/config.dex.coreos.com/v1alpha1/namespaces/" + namespace + "/" + resource
}

// create creates an object of Dex's without kubectl, which is slow.
func (c *resourceCluster) create(t *testing.T, namespace, resource, name string, spec section) {
	t.Helper()
	kinds := map[string]string{"dexclients": "DexClient", "dexusers": "DexUser", "dexconnectors": "DexConnector"}
	_, err := c.server.Do(t.Context(), http.MethodPost, c.path(namespace, resource), section{
		"apiVersion": "config.dex.coreos.com/v1alpha1", "kind": kinds[resource], "metadata": section{"name": name}, "spec": spec,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *resourceCluster) delete(t *testing.T, path string) {
	t.Helper()
	if _, err := c.server.Do(t.Context(), http.MethodDelete, path, nil); err != nil {
		t.Fatal(err)
	}
}

func (c *resourceCluster) secret(t *testing.T, namespace, name, key, value string) {
	t.Helper()
	secrets := "/api/v1/namespaces/" + namespace + "/secrets"
	object := section{"metadata": section{"name": name}, "stringData": section{key: value}}
	if _, err := c.server.Do(t.Context(), http.MethodPost, secrets, object); err != nil {
		if _, err := c.server.Do(t.Context(), http.MethodPut, secrets+"/"+name, object); err != nil {
			t.Fatal(err)
		}
	}
}

// condition is what the status of an object says.
type resourceCondition struct {
	ID, Ready, Reason, Message string
	Version                    string // of the object
}

func (c *resourceCluster) condition(t *testing.T, namespace, resource, name string) resourceCondition {
	t.Helper()
	text, err := c.server.Do(t.Context(), http.MethodGet, c.path(namespace, resource)+"/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Metadata struct{ ResourceVersion string }
		Status   struct {
			ID         string
			Conditions []struct{ Type, Status, Reason, Message string }
		}
	}
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	found := resourceCondition{ID: o.Status.ID, Version: o.Metadata.ResourceVersion}
	for _, condition := range o.Status.Conditions {
		if condition.Type == "Ready" {
			found.Ready, found.Reason, found.Message = condition.Status, condition.Reason, condition.Message
		}
	}
	return found
}

// wantCondition waits until the status has a reason, and a message with a text.
func (c *resourceCluster) wantCondition(t *testing.T, namespace, resource, name, reason, message string) resourceCondition {
	t.Helper()
	var last resourceCondition
	eventually(t, 2*patience, fmt.Sprintf("%s %s: %s: %s", resource, name, reason, message), func() bool {
		last = c.condition(t, namespace, resource, name)
		return last.Reason == reason && strings.Contains(last.Message, message)
	})
	return last
}

// withResources has a server read the custom resources.
func (c *configuration) withResources(k *resourceCluster, namespaces ...string) *configuration {
	return c.with("kubernetes", section{"resources": section{"kubeConfigFile": k.kubeConfig, "clientNamespaces": namespaces}})
}

// resourceAsks returns the status of the answer to an authorization request of a client.
func (d *dex) asks(t *testing.T, client string) int {
	t.Helper()
	status, _ := d.fetch(t, d.authURL("/auth", url.Values{"client_id": {client}}))
	return status
}

// wantAsks waits until a client may ask, or may not.
func (d *dex) wantAsks(t *testing.T, client string, may bool) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("the client %s may ask: %v", client, may), func() bool {
		return (d.asks(t, client) == http.StatusOK) == may
	})
}
