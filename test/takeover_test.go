package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dex/test/upstream"
)

// TestUpstreamsStorageIsTakenOver starts the server on storages that upstream wrote: its keys stay published and keep signing,
// its refresh tokens work, and users created through its API can sign in.
func TestUpstreamsStorageIsTakenOver(t *testing.T) {
	t.Parallel()
	onEach(t, slices.DeleteFunc(slices.Clone(storages), func(kind string) bool { return kind == "memory" }), testTakeover)
}

func testTakeover(t *testing.T, kind string) {
	if kind == "kubernetes" { // creates the resource definitions, in another namespace
		startDex(t, newConfiguration(t).withStorage(t, kind)).stop(t)
	}
	c := newConfiguration(t).withoutConsent().withStorage(t, kind)
	fillAsUpstream(t, c)
	d := startDex(t, c)
	if !strings.Contains(d.log.String(), "took over upstream's data") {
		t.Error("the log says nothing of the takeover")
	}
	tokens := checkTakenOver(t, d, upstream.UserToken)
	d.stop(t)

	d = startDex(t, c)
	if strings.Contains(d.log.String(), "over upstream's data") {
		t.Error("the second start takes over again")
	}
	checkTakenOver(t, d, tokens)
}

// checkTakenOver checks what upstream's users and applications would notice, and returns jane's next refresh token.
func checkTakenOver(t *testing.T, d *dex, janes string) (next string) {
	t.Helper()
	if ids := d.keyIDs(t); !slices.Contains(ids, upstream.KeyID) || !slices.Contains(ids, upstream.RetiredKeyID) {
		t.Errorf("/keys publishes %v, not upstream's keys", ids)
	}
	answer := d.refreshOf(t, upstream.ClientID, upstream.ClientSecret, janes)
	if kid := signedBy(t, answer.IDToken); kid != upstream.KeyID {
		t.Errorf("the ID token is signed by %s, not by upstream's key", kid)
	}
	if janes == upstream.UserToken {
		d.refreshOf(t, upstream.PublicClientID, "", upstream.PublicUserToken)
		d.refreshOf(t, upstream.ClientID, upstream.ClientSecret, upstream.MockToken)
	}
	v := newVisitor(d.transport)
	choice, err := v.get(t.Context(), d.authURL("/auth", nil))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(choice.body, upstream.ConnectorName) {
		t.Error("upstream's connector is not offered")
	}
	form, err := v.get(t.Context(), d.authURL("/auth/local", nil))
	if err != nil {
		t.Fatal(err)
	}
	done, err := v.enterPassword(t.Context(), form, upstream.UserEmail, upstream.UserPassword)
	if err != nil || done.answer.Get("code") == "" {
		t.Errorf("upstream's user does not get in: %+v, %v", done, err)
	}
	return answer.RefreshToken
}

// refreshOf refreshes as a client other than the usual one.
func (d *dex) refreshOf(t *testing.T, id, secret, token string) *tokenAnswer {
	t.Helper()
	p, err := newVisitor(d.transport).post(t.Context(), d.endpoint("/token"), url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {id}, "client_secret": {secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer := &tokenAnswer{status: p.status}
	if err := json.Unmarshal([]byte(p.body), answer); err != nil || answer.status != http.StatusOK {
		t.Fatalf("refresh at client %s: status %d, error %q, %v", id, p.status, answer.Error, err)
	}
	return answer
}

// signedBy returns the id of the key that signed a token.
func signedBy(t *testing.T, token string) string {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var h struct {
		KeyID string `json:"kid"`
	}
	if err := json.Unmarshal(header, &h); err != nil {
		t.Fatal(err)
	}
	return h.KeyID
}

// fillAsUpstream fills a configuration's storage as upstream v2.45 would.
func fillAsUpstream(t *testing.T, c *configuration) {
	t.Helper()
	storage := c.root["storage"].(section)
	var err error
	switch storage["type"] {
	case "sqlite3":
		err = upstream.SQLite(t.Context(), c.database, upstream.Release)
	case "postgres":
		err = upstream.PostgreSQL(t.Context(), c.openDatabase(t), upstream.Release)
	case "mysql":
		err = upstream.MySQL(t.Context(), c.openDatabase(t), upstream.Release)
	case "etcd":
		err = fillEtcd(t.Context(), storage["config"].(section))
	case "kubernetes":
		objects := c.cluster(t)
		err = upstream.Kubernetes(t.Context(), upstream.Release, func(ctx context.Context, plural string, object json.RawMessage) error {
			_, err := objects.server.Do(ctx, http.MethodPost, objects.path(plural), object)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func fillEtcd(ctx context.Context, settings section) error {
	var endpoints []string
	for _, e := range settings["endpoints"].([]any) {
		endpoints = append(endpoints, e.(string))
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return upstream.Etcd(ctx, client, settings["namespace"].(string), upstream.Release)
}
