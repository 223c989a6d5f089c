package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"dex/test/servers"
)

// TestKubernetesResourcesGuide follows docs/kubernetes-resources.md with exactly the rights that it gives, and compares what it
// says that one sees.
func TestKubernetesResourcesGuide(t *testing.T) {
	t.Parallel()
	k := newResourceCluster(t)
	d := startDex(t, newConfiguration(t).withResources(k, k.team))
	for _, manifest := range resourceGuide(t, "yaml") {
		if strings.HasPrefix(manifest, "apiVersion:") {
			k.apply(t, strings.ReplaceAll(manifest, "https://dex.example.com/dex", d.issuer))
		}
	}
	blocks := resourceGuide(t, "console")
	if len(blocks) < 4 {
		t.Fatalf("the guide has %d outputs", len(blocks))
	}
	for _, block := range blocks {
		command, want, _ := strings.Cut(k.here(block), "\n")
		args, ok := strings.CutPrefix(command, "$ kubectl ")
		if !ok {
			t.Fatalf("no command in %s", block)
		}
		// Other objects of the guide may be listed, too.
		eventually(t, patience, command+" shows\n"+want, func() bool {
			out := columns(k.kubectl(t, strings.Fields(args)...))
			for line := range strings.SplitSeq(columns(want), "\n") {
				if !strings.Contains(out, line) {
					return false
				}
			}
			return true
		})
	}
	if out := k.kubectl(t, "explain", "dexclients.spec.trustedPeers"); !strings.Contains(out, "may ask for tokens that this client accepts too") {
		t.Errorf("kubectl explain says\n%s", out)
	}
	if _, err := k.server.Kubectl(t.Context(), "get", "dex", "--namespace", k.home); err != nil {
		t.Error(err) // all of Dex's kinds at once
	}
	d.wantAsks(t, "nobody", false)
	for _, secret := range []string{"3f8a5f0bb1b94d5c9a7a2f6d3c1e8b47", "9d1e0c7b5a3f4e2d8c6b7a9f0e1d2c3b"} {
		if strings.Contains(d.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// columns returns a table with single blanks, without the column AGE.
func columns(table string) string {
	var lines []string
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) > 1 {
			lines = append(lines, strings.Join(words[:len(words)-1], " ")+" ")
		}
	}
	return strings.Join(lines, "\n")
}

// TestResourcesEndToEnd signs in with a client, a user and a connector from resources, and changes and deletes them.
func TestResourcesEndToEnd(t *testing.T) {
	t.Parallel()
	k := newResourceCluster(t)
	d := startDex(t, newConfiguration(t).withoutConsent().withResources(k, k.team))
	k.secret(t, k.team, "app", "secret", "first secret")
	k.secret(t, k.home, "jane", "hash", adminHash)
	k.create(t, k.team, "dexclients", "app", section{
		"name": "App", "redirectURIs": []string{callbackURL}, "secretRef": section{"name": "app", "key": "secret"},
	})
	k.create(t, k.home, "dexusers", "jane", section{
		"email": "Jane@example.com", "username": "jane", "userID": "42", "secretRef": section{"name": "jane", "key": "hash"},
	})
	k.create(t, k.home, "dexconnectors", "there", section{"type": "mockCallback", "name": "Written Source"})
	id := k.team + ".app"
	d.wantAsks(t, id, true)
	if c := k.wantCondition(t, k.team, "dexclients", "app", "Accepted", "in use"); c.ID != id || c.Ready != "True" {
		t.Errorf("the status is %+v", c)
	}
	k.wantCondition(t, k.home, "dexusers", "jane", "Accepted", "")
	k.wantCondition(t, k.home, "dexconnectors", "there", "Accepted", "")

	request := d.authURL("/auth", url.Values{"client_id": {id}})
	eventually(t, patience, "the connector is offered", func() bool {
		_, page := d.fetch(t, request)
		return strings.Contains(page, "Written Source") && strings.Contains(page, k.team+"/App")
	})
	redeem := func(connector, secret string) int {
		t.Helper()
		v := newVisitor(d.transport)
		p, err := v.get(t.Context(), d.authURL("/auth/"+connector, url.Values{"client_id": {id}}))
		if err == nil && connector == "local" {
			p, err = v.enterPassword(t.Context(), p, "jane@Example.com", adminPassword)
		}
		if err != nil || p.answer.Get("code") == "" {
			t.Fatalf("login with %s: %+v, %v", connector, p, err)
		}
		answer, err := v.post(t.Context(), d.endpoint("/token"), url.Values{
			"grant_type": {"authorization_code"}, "code": {p.answer.Get("code")}, "redirect_uri": {callbackURL},
			"client_id": {id}, "client_secret": {secret},
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer.status
	}
	for _, connector := range []string{"local", "there"} {
		if status := redeem(connector, "first secret"); status != http.StatusOK {
			t.Errorf("login with %s: status %d", connector, status)
		}
	}
	if status := redeem("there", "wrong"); status != http.StatusUnauthorized {
		t.Errorf("with a wrong secret: status %d", status)
	}

	// Another secret counts within a minute, and the one before no longer does.
	k.secret(t, k.team, "app", "secret", "second secret")
	began := time.Now()
	for redeem("there", "second secret") != http.StatusOK {
		if time.Since(began) > time.Minute {
			t.Fatal("the new secret is not used")
		}
		time.Sleep(time.Second) // so that guesses aren't limited
	}
	if status := redeem("there", "first secret"); status != http.StatusUnauthorized {
		t.Errorf("with the secret before: status %d", status)
	}

	k.delete(t, k.path(k.home, "dexconnectors")+"/there")
	eventually(t, patience, "the connector is gone", func() bool {
		_, page := d.fetch(t, request)
		return !strings.Contains(page, "Written Source")
	})
	k.delete(t, k.path(k.team, "dexclients")+"/app")
	d.wantAsks(t, id, false)
	if strings.Contains(d.log.String(), "second secret") {
		t.Error("a secret is in the log")
	}
}

// TestResourcesOfTenants attacks from a namespace that may have clients, against the real server.
func TestResourcesOfTenants(t *testing.T) {
	t.Parallel()
	k := newResourceCluster(t)
	const lost = "no-such-namespace"
	d := startDex(t, newConfiguration(t).withResources(k, lost, k.team))
	public := func(more section) section {
		spec := section{"public": true, "redirectURIs": []string{callbackURL}}
		for key, value := range more {
			spec[key] = value
		}
		return spec
	}
	k.create(t, k.team, "dexclients", "good", public(nil))
	k.create(t, k.team, "dexclients", "thief", public(section{"id": clientID}))
	k.create(t, k.team, "dexclients", "robot", public(section{"clientCredentialsClaims": section{"groups": []string{"system:masters"}}}))
	k.create(t, k.team, "dexusers", "me", section{"email": "me@example.com", "userID": "1", "secretRef": section{"name": "a", "key": "b"}})
	k.create(t, k.team, "dexconnectors", "mine", section{"type": "mockCallback", "name": "Made by the team"})
	k.create(t, k.home, "dexclients", "other", public(section{"id": k.team + ".taken"}))
	k.create(t, k.team, "dexclients", "taken", public(nil))

	k.wantCondition(t, k.team, "dexclients", "good", "Accepted", "in use")
	k.wantCondition(t, k.team, "dexclients", "thief", "NotAllowed", `spec.id: must be "`+k.team+`.thief"`)
	k.wantCondition(t, k.team, "dexclients", "robot", "NotAllowed", "spec.clientCredentialsClaims")
	k.wantCondition(t, k.team, "dexclients", "taken", "Conflict", "in Dex's own namespace")
	d.wantAsks(t, k.team+".good", true)
	for _, id := range []string{k.team + ".thief", k.team + ".robot", "thief", "good"} {
		if d.asks(t, id) == http.StatusOK {
			t.Errorf("the client %s may ask", id)
		}
	}
	if _, page := d.fetch(t, d.authURL("/auth", url.Values{"client_id": {k.team + ".good"}})); strings.Contains(page, "Made by the team") {
		t.Error("the connector of a team is offered")
	}
	// A namespace that Dex may not list is told of, and affects no other.
	eventually(t, patience, "the log names the namespace that can't be read", func() bool {
		return strings.Contains(d.log.String(), "custom resources can't be read") && strings.Contains(d.log.String(), "namespace="+lost)
	})
	if _, body := d.fetch(t, d.telemetry+"/healthz/ready"); !strings.Contains(body, "dexclients/"+lost) {
		t.Errorf("/healthz/ready says\n%s", body)
	}
}

// TestResourcesAreRefusedBySchema shows what kubectl says at once.
func TestResourcesAreRefusedBySchema(t *testing.T) {
	t.Parallel()
	k := newResourceCluster(t)
	for spec, want := range map[string]string{
		"{name: App}":                                    "secretRef is required, or public: true",
		"{public: true, grantTypes: [magic]}":            `supported values: "authorization_code"`,
		"{public: true, redirectURI: 'https://a.test/'}": `unknown field "spec.redirectURI"`,
		"{public: true, redirectURIs: 'https://a.test'}": "redirectURIs",
		"{secretRef: {name: app}}":                       "spec.secretRef.key",
		"{public: true, secret: inside}":                 `unknown field "spec.secret"`,
	} {
		err := k.tryApply(t, "apiVersion: config.dex.coreos.com/v1alpha1\nkind: DexClient\nmetadata:\n  name: bad\n  namespace: dex\nspec: "+spec+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", spec, err, want)
		}
	}
}

// TestResourcesAndWhatHidesThem shows the order: the configuration file, upstream's objects in the storage, resources. Two more
// replicas agree with the first.
func TestResourcesAndWhatHidesThem(t *testing.T) {
	t.Parallel()
	k := newResourceCluster(t)
	c := newConfiguration(t).with("storage", section{"type": "kubernetes", "config": section{"kubeConfigFile": k.kubeConfig}}).withResources(k)
	d := startDex(t, c)
	for range 2 {
		startDex(t, newConfiguration(t).with("storage", c.root["storage"]).withResources(k))
	}
	spec := section{"public": true, "name": "From a resource", "redirectURIs": []string{callbackURL}}
	k.create(t, k.home, "dexclients", "shared", spec)
	shows := func(name string) {
		t.Helper()
		eventually(t, patience, "the page is for "+name, func() bool {
			_, page := d.fetch(t, d.authURL("/auth", url.Values{"client_id": {"shared"}}))
			return strings.Contains(page, name)
		})
	}
	shows("From a resource")
	accepted := k.wantCondition(t, k.home, "dexclients", "shared", "Accepted", "in use")

	stored := &cluster{k.server, k.home}
	stored.do(t, http.MethodPost, "oauth2clients", section{
		"apiVersion": "dex.coreos.com/v1", "kind": "OAuth2Client", "metadata": section{"name": objectName("shared")},
		"id": "shared", "public": true, "name": "From the storage", "redirectURIs": []string{callbackURL},
	})
	shows("From the storage")
	k.wantCondition(t, k.home, "dexclients", "shared", "Conflict", `"shared" is the ID of a client in the storage`)
	stored.do(t, http.MethodDelete, "oauth2clients/"+objectName("shared"), nil)
	shows("From a resource")
	after := k.wantCondition(t, k.home, "dexclients", "shared", "Accepted", "in use")
	if accepted.Version == after.Version {
		t.Error("the version of the object is the same after its status has changed twice")
	}

	// A reload that brings the client into the file. Each replica tells what it sees, once.
	clients := c.root["staticClients"].([]section)
	c.with("staticClients", append(clients[:3:3], section{"id": "shared", "name": "From the file", "public": true, "redirectURIs": []string{callbackURL}}))
	d.reload(t, `msg="configuration applied"`)
	shows("From the file")
	k.wantCondition(t, k.home, "dexclients", "shared", "Conflict", "in the configuration file")
	c.with("staticClients", clients)
	d.reload(t, `msg="configuration applied"`)
	shows("From a resource")
	settled := k.wantCondition(t, k.home, "dexclients", "shared", "Accepted", "in use")

	// What all replicas agree on stays as it is.
	k.create(t, k.home, "dexclients", "later", spec)
	later := k.wantCondition(t, k.home, "dexclients", "later", "Accepted", "in use")
	d.signal(t, syscall.SIGHUP)
	k.create(t, k.home, "dexclients", "last", spec)
	k.wantCondition(t, k.home, "dexclients", "last", "Accepted", "in use")
	if now := k.condition(t, k.home, "dexclients", "later"); now != later {
		t.Errorf("the status was written again: %+v, %+v", later, now)
	}
	if now := k.condition(t, k.home, "dexclients", "shared"); now != settled {
		t.Errorf("the status was written again: %+v, %+v", settled, now)
	}
}

// TestResourcesWhileTheAPIServerIsAway shows that what was read stays in use, that the start does without the server, and that
// what was deleted is gone as soon as it is known.
func TestResourcesWhileTheAPIServerIsAway(t *testing.T) {
	t.Parallel()
	server, err := servers.StartKubernetes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	k := fillResourceCluster(t, server)
	d := startDex(t, newConfiguration(t).withResources(k, k.team))
	public := section{"public": true, "redirectURIs": []string{callbackURL}}
	k.create(t, k.team, "dexclients", "stays", public)
	k.create(t, k.home, "dexclients", "goes", public)
	d.wantAsks(t, "goes", true)
	d.wantAsks(t, k.team+".stays", true)

	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the log says that the server is away", func() bool {
		return strings.Contains(d.log.String(), "custom resources can't be read")
	})
	for _, id := range []string{"goes", k.team + ".stays"} {
		if d.asks(t, id) != http.StatusOK {
			t.Errorf("without the API server the client %s may not ask", id)
		}
	}
	began := time.Now()
	another := startDex(t, newConfiguration(t).withResources(k, k.team))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a server starts in %v without the API server", took)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.delete(t, k.path(k.home, "dexclients")+"/goes")
	for _, d := range []*dex{d, another} {
		d.wantAsks(t, k.team+".stays", true)
		d.wantAsks(t, "goes", false)
	}
}
