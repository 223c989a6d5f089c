package e2e

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A real cluster says whose tokens the callers have, and keeps what they administer.
func TestManagementByServiceAccounts(t *testing.T) {
	t.Parallel()
	k := startKubernetes(t)
	n, err := k.NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := k.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(out)
	}
	kubectl("create", "serviceaccount", "operator", "--namespace", n.Namespace)
	kubectl("create", "serviceaccount", "other", "--namespace", n.Namespace)
	token := func(account, audience string) string {
		return kubectl("create", "token", account, "--namespace", n.Namespace, "--audience", audience)
	}

	address := freeAddress(t)
	startDex(t, newConfiguration(t).onKubernetes(t, k).with("api", section{
		"addr": address, "kubeConfigFile": n.KubeConfigFile,
		"access": []section{{
			"name": "operator", "roles": []string{"clients"}, "serviceAccount": section{"namespace": n.Namespace, "name": "operator"},
		}},
	}))
	call := func(method, token, body string) (status int, answered string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/api/v2/clients", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	ask := func(token string) int {
		t.Helper()
		status, _ := call(http.MethodGet, token, "")
		return status
	}
	list := func(what, token string, want int) {
		t.Helper()
		if got := ask(token); got != want {
			t.Errorf("%s: status %d, want %d", what, got, want)
		}
	}

	list("before Dex may ask the cluster", token("operator", "dex"), http.StatusServiceUnavailable)
	kubectl("create", "clusterrolebinding", "reviews-"+n.Namespace, "--clusterrole=system:auth-delegator", "--serviceaccount="+n.Namespace+":"+n.Account)
	good := token("operator", "dex")
	eventually(t, 30*time.Second, "the API server knows of the right", func() bool { return ask(good) == http.StatusOK })
	list("the operator", good, http.StatusOK)
	list("another account", token("other", "dex"), http.StatusForbidden)
	list("a token for another audience", token("operator", "elsewhere"), http.StatusUnauthorized)
	list("a token that was changed", good[:len(good)-4]+"AAAA", http.StatusUnauthorized)
	list("nobody's token", "nobody", http.StatusUnauthorized)

	if status, text := call(http.MethodPost, good, `{"id": "wiki", "public": true}`); status != http.StatusCreated {
		t.Errorf("a new client: status %d: %s", status, text)
	}
	if _, text := call(http.MethodGet, good, ""); !strings.Contains(text, `"wiki"`) {
		t.Errorf("the list lacks the new client: %s", text)
	}
	if stored := kubectl("get", "oauth2clients.dex.coreos.com", "--all-namespaces", "-o", "jsonpath={.items[*].id}"); stored != "wiki" {
		t.Errorf("the cluster has the clients %q", stored)
	}
}
