package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// A KubernetesNamespace is a new namespace with the service account and the Role that the documentation gives Dex.
type KubernetesNamespace struct {
	Namespace string
	// Account is the name of the service account, User that of the user that it is, and Token is one of its tokens.
	Account, User, Token string
	// KubeConfigFile is a configuration like kubectl's, with the token.
	KubeConfigFile string
}

// Config returns the storage section of a configuration file for the namespace.
func (n KubernetesNamespace) Config() string {
	return fmt.Sprintf("storage:\n  type: kubernetes\n  config:\n    kubeConfigFile: %q\n", n.KubeConfigFile)
}

// An object is one of the documentation's.
type object = map[string]any

const (
	// documentation is where the objects are, seen from this folder.
	documentation = "../../docs/storage-kubernetes.md"
	// documentedName is the namespace, and the name of what is in it, in the documentation.
	documentedName = "dex"

	definitionsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	rolesPath       = "/apis/rbac.authorization.k8s.io/v1/"
	// heldEvery is how often to look whether rights hold.
	heldEvery = 5 * time.Millisecond
)

// yamlBlock matches a block of YAML in a document.
var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// documented returns the objects in the documentation, by their kinds, as somebody with another namespace would write them.
func documented(namespace string) (map[string][]object, error) {
	path, err := besideServers(documentation)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path) //nolint:gosec // G304: ours
	if err != nil {
		return nil, err
	}
	text = bytes.ReplaceAll(text, []byte("namespace: "+documentedName+"\n"), []byte("namespace: "+namespace+"\n"))
	objects := make(map[string][]object)
	for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
		documents := yaml.NewDecoder(bytes.NewReader(block[1]))
		for {
			var o object
			if err := documents.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", documentation, err)
			}
			if kind, ok := o["kind"].(string); ok {
				objects[kind] = append(objects[kind], o)
			}
		}
	}
	return objects, nil
}

// NewNamespace creates a namespace, with exactly the service account, Role and RoleBinding of the documentation, and the
// documented resource definitions if they are not there yet.
func (k *Kubernetes) NewNamespace(ctx context.Context) (KubernetesNamespace, error) {
	name := "ns-" + strings.ToLower(rand.Text()[:12])
	n := KubernetesNamespace{
		Namespace: name, Account: documentedName, User: "system:serviceaccount:" + name + ":" + documentedName,
	}
	err := k.fill(ctx, &n)
	if err != nil {
		err = fmt.Errorf("new namespace %s: %w", name, err)
	}
	return n, err
}

func (k *Kubernetes) fill(ctx context.Context, n *KubernetesNamespace) error {
	if err := k.Define(ctx); err != nil {
		return err
	}
	objects, err := documented(n.Namespace)
	if err != nil {
		return err
	}
	err = k.post(ctx, "/api/v1/namespaces", object{"metadata": object{"name": n.Namespace}})
	if err != nil {
		return err
	}
	for kind, path := range map[string]string{
		"ServiceAccount": "/api/v1/namespaces/" + n.Namespace + "/serviceaccounts",
		"Role":           rolesPath + "namespaces/" + n.Namespace + "/roles",
		"RoleBinding":    rolesPath + "namespaces/" + n.Namespace + "/rolebindings",
	} {
		if len(objects[kind]) != 1 {
			return fmt.Errorf("%s has %d objects of kind %s, want 1", documentation, len(objects[kind]), kind)
		}
		if err := k.post(ctx, path, objects[kind][0]); err != nil {
			return err
		}
	}
	if n.Token, err = k.Token(ctx, n.Namespace, n.Account); err != nil {
		return err
	}
	if err := k.await(ctx, *n, true, Right{"dex.coreos.com", "authcodes", "create"}); err != nil {
		return err
	}
	n.KubeConfigFile, err = k.WriteKubeConfig(n.Namespace, object{"token": n.Token})
	return err
}

// Define creates the documented resource definitions that are not there, and waits until they are served. Those that are named
// it leaves out.
func (k *Kubernetes) Define(ctx context.Context, without ...string) error {
	objects, err := documented(documentedName)
	if err != nil {
		return err
	}
	for _, definition := range objects["CustomResourceDefinition"] {
		if name, _ := definition["metadata"].(object)["name"].(string); slices.Contains(without, name) {
			continue
		}
		if err := k.define(ctx, definition); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kubernetes) define(ctx context.Context, definition object) error {
	spec, _ := definition["spec"].(object)
	names, _ := spec["names"].(object)
	served := fmt.Sprintf("/apis/%v/v1/%v?limit=1", spec["group"], names["plural"])
	if _, err := k.Do(ctx, http.MethodGet, served, nil); err == nil {
		return nil
	}
	if err := k.post(ctx, definitionsPath, definition); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		_, err := k.Do(ctx, http.MethodGet, served, nil)
		return err
	})
}

// A Right is one to do something with a resource in a namespace, or in the cluster.
type Right struct{ Group, Resource, Verb string }

// SetVerbs replaces the verbs of the namespace's Role, and waits until the server goes by them.
func (k *Kubernetes) SetVerbs(ctx context.Context, n KubernetesNamespace, verbs ...string) error {
	path := rolesPath + "namespaces/" + n.Namespace + "/roles/" + documentedName
	content, err := k.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	var role object
	if err := json.Unmarshal(content, &role); err != nil {
		return err
	}
	var before []any
	for _, rule := range role["rules"].([]any) {
		before = append(before, rule.(object)["verbs"].([]any)...)
		rule.(object)["verbs"] = verbs
	}
	if _, err := k.Do(ctx, http.MethodPut, path, role); err != nil {
		return err
	}
	for _, verb := range verbs {
		before = append(before, verb)
	}
	for _, verb := range before {
		right := Right{"dex.coreos.com", "connectors", verb.(string)}
		if err := k.await(ctx, n, slices.Contains(verbs, right.Verb), right); err != nil {
			return err
		}
	}
	return nil
}

// AllowDefinitions gives the namespace's account the documented right to create resource definitions.
func (k *Kubernetes) AllowDefinitions(ctx context.Context, n KubernetesNamespace) error {
	objects, err := documented(n.Namespace)
	if err != nil {
		return err
	}
	for kind, path := range map[string]string{"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"} {
		for _, o := range objects[kind] {
			if kind == "ClusterRoleBinding" { // one for each namespace
				o["metadata"].(object)["name"] = n.Namespace
			}
			if err := k.post(ctx, rolesPath+path, o); err != nil {
				return err
			}
		}
	}
	return k.await(ctx, n, true, Right{"apiextensions.k8s.io", "customresourcedefinitions", "create"})
}

// AllowUpstreamsSessions creates the resource definitions that only upstream's development versions have, and gives the namespace's
// account the right to list their objects.
func (k *Kubernetes) AllowUpstreamsSessions(ctx context.Context, n KubernetesNamespace) error {
	resources := map[string]object{
		"authsessions":   {"plural": "authsessions", "singular": "authsession", "kind": "AuthSession"},
		"useridentities": {"plural": "useridentities", "singular": "useridentity", "kind": "UserIdentity"},
	}
	for plural, names := range resources {
		err := k.define(ctx, object{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"metadata": object{"name": plural + ".dex.coreos.com"},
			"spec": object{"group": "dex.coreos.com", "names": names, "scope": "Namespaced", "versions": []object{{
				"name": "v1", "served": true, "storage": true,
				"schema": object{"openAPIV3Schema": object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}}},
		})
		if err != nil {
			return err
		}
	}
	const name = "upstreams-sessions"
	roles := rolesPath + "namespaces/" + n.Namespace
	err := k.post(ctx, roles+"/roles", object{
		"metadata": object{"name": name},
		"rules":    []object{{"apiGroups": []string{"dex.coreos.com"}, "resources": slices.Sorted(maps.Keys(resources)), "verbs": []string{"list"}}},
	})
	if err == nil {
		err = k.post(ctx, roles+"/rolebindings", object{
			"metadata": object{"name": name},
			"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
			"subjects": []object{{"kind": "ServiceAccount", "name": n.Account, "namespace": n.Namespace}},
		})
	}
	if err != nil {
		return err
	}
	return k.await(ctx, n, true, Right{"dex.coreos.com", "authsessions", "list"})
}

// await waits until the server goes by a right that was given to an account, or taken from it.
func (k *Kubernetes) await(ctx context.Context, n KubernetesNamespace, allowed bool, r Right) error {
	return eventually(ctx, func() error {
		content, err := k.do(ctx, n.Token, http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", object{
			"spec": object{"resourceAttributes": object{
				"namespace": n.Namespace, "group": r.Group, "resource": r.Resource, "verb": r.Verb,
			}},
		})
		if err != nil {
			return err
		}
		var review struct{ Status struct{ Allowed bool } }
		if err := json.Unmarshal(content, &review); err != nil {
			return err
		}
		if review.Status.Allowed != allowed {
			return fmt.Errorf("the right %v is %t for %s", r, review.Status.Allowed, n.User)
		}
		return nil
	})
}

// eventually repeats what fails.
func eventually(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(heldEvery)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// Token returns a new token of a service account, valid for an hour.
func (k *Kubernetes) Token(ctx context.Context, namespace, account string) (string, error) {
	return k.requestToken(ctx, namespace, account, object{"expirationSeconds": 3600})
}

func (k *Kubernetes) requestToken(ctx context.Context, namespace, account string, spec object) (string, error) {
	path := "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + account + "/token"
	content, err := k.Do(ctx, http.MethodPost, path, object{"spec": spec})
	if err != nil {
		return "", err
	}
	var request struct{ Status struct{ Token string } }
	err = json.Unmarshal(content, &request)
	return request.Status.Token, err
}

// ServiceAccount returns a folder as a pod of the service account would have it: token, ca.crt and namespace are links to
// files that Project replaces.
func (k *Kubernetes) ServiceAccount(ctx context.Context, namespace, name string) (folder string, err error) {
	token, err := k.Token(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	folder = k.account.path("pod-" + strings.ToLower(rand.Text()[:12]))
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // G301: as in a pod
		return "", err
	}
	if err := k.Project(folder, namespace, token); err != nil {
		return "", err
	}
	for _, file := range []string{"token", "ca.crt", "namespace"} {
		if err := os.Symlink(filepath.Join("..data", file), filepath.Join(folder, file)); err != nil {
			return "", err
		}
	}
	return folder, nil
}

// Project puts another token into a folder of ServiceAccount, all files at once, as the kubelet does.
func (k *Kubernetes) Project(folder, namespace, token string) error {
	version := filepath.Join(folder, ".."+rand.Text())
	if err := os.Mkdir(version, 0o755); err != nil { //nolint:gosec // G301: as in a pod
		return err
	}
	for name, content := range map[string]string{"token": token, "ca.crt": string(k.Authority.PEM), "namespace": namespace} {
		if err := os.WriteFile(filepath.Join(version, name), []byte(content), 0o644); err != nil { //nolint:gosec // G306: as in a pod
			return err
		}
	}
	link := filepath.Join(folder, "..data_tmp")
	if err := os.Symlink(filepath.Base(version), link); err != nil {
		return err
	}
	data := filepath.Join(folder, "..data")
	last, _ := os.Readlink(data) // nothing at first
	if err := os.Rename(link, data); err != nil || last == "" {
		return err
	}
	return os.RemoveAll(filepath.Join(folder, last))
}

// SecretToken returns a token of a service account that ends with a Secret of that name, as that of a pod ends with the pod.
// EndToken ends it.
func (k *Kubernetes) SecretToken(ctx context.Context, n KubernetesNamespace, secret string) (string, error) {
	err := k.post(ctx, "/api/v1/namespaces/"+n.Namespace+"/secrets", object{"metadata": object{"name": secret}})
	if err != nil {
		return "", err
	}
	return k.requestToken(ctx, n.Namespace, n.Account, object{
		"boundObjectRef": object{"apiVersion": "v1", "kind": "Secret", "name": secret},
	})
}

// EndToken ends a token of SecretToken. The server remembers for ten seconds that it was good, but not over a restart.
func (k *Kubernetes) EndToken(ctx context.Context, n KubernetesNamespace, secret string) error {
	_, err := k.Do(ctx, http.MethodDelete, "/api/v1/namespaces/"+n.Namespace+"/secrets/"+secret, nil)
	return errors.Join(err, k.Stop(), k.Start(ctx))
}
