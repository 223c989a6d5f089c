package e2e

import (
	"encoding/base32"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"dex/test/servers"
)

// A cluster is the namespace of a server's storage, as users of kubectl see it.
type cluster struct {
	server    *servers.Kubernetes
	namespace string
}

// cluster returns the namespace of a configuration's storage.
func (c *configuration) cluster(t *testing.T) *cluster {
	t.Helper()
	server, err := pool.Kubernetes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(c.root["storage"].(section)["config"].(section)["kubeConfigFile"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Contexts []struct {
			Context struct{ Namespace string }
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	return &cluster{server, config.Contexts[0].Context.Namespace}
}

func (c *cluster) path(resource string) string {
	return "/apis/dex.coreos.com/v1/namespaces/" + c.namespace + "/" + resource
}

func (c *cluster) do(t *testing.T, method, resource string, object any) []byte {
	t.Helper()
	answer, err := c.server.Do(t.Context(), method, c.path(resource), object)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestObjectsEditedByHandTakeEffect shows that a running server notices when somebody edits objects with kubectl, as
// upstream's users do.
func TestObjectsEditedByHandTakeEffect(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withoutConsent().withStorage(t, "kubernetes")
	d, objects := startDex(t, c), c.cluster(t)
	authURL := d.authURL("/auth", url.Values{"client_id": {"by-hand"}})

	clientName, userName := objectName("by-hand"), objectName("hand@example.com")
	objects.do(t, http.MethodPost, "oauth2clients", section{
		"apiVersion": "dex.coreos.com/v1", "kind": "OAuth2Client", "metadata": section{"name": clientName},
		"id": "by-hand", "secret": "of the hand", "name": "Made by Hand", "redirectURIs": []string{callbackURL},
	})
	objects.do(t, http.MethodPost, "passwords", section{
		"apiVersion": "dex.coreos.com/v1", "kind": "Password", "metadata": section{"name": userName},
		"email": "hand@example.com", "hash": []byte(adminHash), "username": "hand", "userID": "1234",
	})
	objects.do(t, http.MethodPost, "connectors", section{
		"apiVersion": "dex.coreos.com/v1", "kind": "Connector", "metadata": section{"name": "hand-made"},
		"id": "hand-made", "type": "mockCallback", "name": "Hand-made Source", "config": []byte("{}"),
	})
	wantPage := func(what string, holds func(p *page) bool) {
		t.Helper()
		eventually(t, patience, what, func() bool {
			p, err := newVisitor(d.transport).get(t.Context(), authURL)
			if err != nil {
				t.Fatal(err)
			}
			return holds(p)
		})
	}
	wantPage("the new client may ask, and the new connector is offered", func(p *page) bool {
		return p.status == http.StatusOK && strings.Contains(p.body, "Hand-made Source")
	})

	v := newVisitor(d.transport)
	form, err := v.get(t.Context(), d.authURL("/auth/local", url.Values{"client_id": {"by-hand"}}))
	if err != nil {
		t.Fatal(err)
	}
	done, err := v.enterPassword(t.Context(), form, "Hand@example.com", adminPassword)
	if err != nil || done.answer.Get("code") == "" {
		t.Fatalf("the new user's login: %+v, %v", done, err)
	}

	object := section{}
	if err := json.Unmarshal(objects.do(t, http.MethodGet, "connectors/hand-made", nil), &object); err != nil {
		t.Fatal(err)
	}
	object["name"] = "Renamed Source"
	objects.do(t, http.MethodPut, "connectors/hand-made", object)
	wantPage("the connector's new name is shown", func(p *page) bool { return strings.Contains(p.body, "Renamed Source") })

	objects.do(t, http.MethodDelete, "oauth2clients/"+clientName, nil)
	wantPage("the deleted client is refused", func(p *page) bool { return p.status != http.StatusOK })
}

// objectName returns upstream's name for the object with an id: the id's bytes and eight more, in base32.
func objectName(id string) string {
	encoding := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	return encoding.EncodeToString([]byte(id + "\xcb\xf2\x9c\xe4\x84\x22\x23\x25"))
}
