package e2e

import (
	"crypto/x509"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/test/servers"
)

const (
	loginGuide = "docs/kubernetes-login.md"
	clusterDex = "dex.example.com:32000"
	turningDex = "turning.example.com:32000" // whose keys are replaced all the time

	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
)

// A clusterSite is a cluster whose people sign in through Dex, as the guide to signing in to Kubernetes has it.
type clusterSite struct {
	*reader
	names     *names
	authority *servers.Authority
	shared    string // the folder of files that the API server reads
	api       *servers.Kubernetes
	list      string // the guide's command that lists nodes
}

// person returns a user of the password database.
func (s *clusterSite) person(name string, more section) section {
	p := section{
		"email": name + "@example.com", "hash": adminHash, "username": name, "userID": name, "emailVerified": true, "groups": []string{"developers"},
	}
	maps.Copy(p, more)
	return p
}

// configuration returns that of a Dex with a name of its own and several people, whose passwords are all the same.
func (s *clusterSite) configuration(t *testing.T, name string) *configuration {
	t.Helper()
	host, _, _ := strings.Cut(name, ":")
	certificate, key, err := s.authority.Issue("dex", host)
	must(t, err)
	dir, address := t.TempDir(), freeAddress(t)
	s.names.is(name, address)
	c := newConfiguration(t).withoutConsent().withIssuer("https://" + strings.TrimSuffix(name, ":443") + "/dex")
	c.root["web"] = section{
		"https": address, "tlsCert": writeFile(t, dir, "tls.crt", string(certificate)), "tlsKey": writeFile(t, dir, "tls.key", string(key)),
	}
	return c.with("oauth2", section{
		"passwordConnector": "local",
		"grantTypes":        []string{"authorization_code", "refresh_token", "password", deviceGrant, exchangeGrant},
	}).with("staticPasswords", []section{
		s.person("jane", nil), s.person("tester", section{"groups": []string{"testers"}}),
		s.person("stranger", section{"email": "stranger@example.org"}), s.person("new", section{"emailVerified": false}),
		s.person("evil", section{"groups": []string{"system:masters"}}),
	})
}

// start starts a Dex that is reached by its name, and reaches others by theirs.
func (s *clusterSite) start(t *testing.T, c *configuration, environment ...string) *dex {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.authority.PEM)
	transport := newTransport(roots)
	transport.DialContext = s.names.dial
	cmd := exec.Command(binaries.dex, "serve", c.write(t))
	cmd.Env = slices.Concat(cleanEnvironment(), s.names.environment(), environment)
	d := &dex{process: startCommand(t, "dex", cmd), configuration: c, transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	return d
}

// newClusterSite starts nothing yet.
func newClusterSite(t *testing.T) *clusterSite {
	t.Helper()
	authority, err := servers.NewAuthority()
	must(t, err)
	s := &clusterSite{
		reader: newReader(t, t.TempDir(), "kubectl"), names: newNames(t), authority: authority, shared: t.TempDir(),
		list: blockWith(t, loginGuide, "sh", "/api/v1/nodes"),
	}
	writeFile(t, s.folder, "openid-ca.pem", string(authority.PEM))
	s.environment = append(append(s.environment, s.names.environment()...), "HOME="+t.TempDir())
	return s
}

// apart returns the same with a shell of its own.
func (s *clusterSite) apart() *clusterSite {
	site, shell := *s, *s.reader
	site.reader = &shell
	return &site
}

// trust is a file of the API server's, as a guide prints it: the authority's certificate is filled in.
func (s *clusterSite) trust(t *testing.T, block string) string {
	t.Helper()
	begin, rest, found := strings.Cut(block, "(the text of")
	_, end, closed := strings.Cut(rest, "one)")
	if !found || !closed {
		t.Fatalf("the guide has no place for the certificate:\n%s", block)
	}
	return begin + indented(s.authority.PEM, 6) + end
}

// asks is a request for tokens by the password grant: the shortest way to the same tokens.
type asks struct {
	client, secret, user, scope string
}

// token returns what the token endpoint says to a client's request. What isn't said is the guide's: jane, at kubectl's client.
func (s *clusterSite) token(t *testing.T, d *dex, a asks) *tokenAnswer {
	t.Helper()
	form := url.Values{
		"grant_type": {"password"}, "username": {"jane@example.com"}, "password": {adminPassword}, "scope": {"openid profile email groups"},
		"client_id": {"kubernetes"},
	}
	for name, value := range map[string]string{"username": a.user, "scope": a.scope, "client_id": a.client, "client_secret": a.secret} {
		if value != "" {
			form.Set(name, value)
		}
	}
	p, err := newVisitor(d.transport).post(t.Context(), d.endpoint("/token"), form)
	must(t, err)
	answer := &tokenAnswer{status: p.status}
	must(t, json.Unmarshal([]byte(p.body), answer))
	return answer
}

// want checks what the API server makes of a token, and what its log says.
func (s *clusterSite) want(t *testing.T, token, status, words string) {
	t.Helper()
	if token == "" {
		t.Fatal("there is no token")
	}
	before := len(s.api.Log())
	got, body := listNodes(t, s.reader, s.api, s.list, token)
	if got != status || status == "403" && !strings.Contains(body, words) {
		t.Errorf("status %s, want %s: %s", got, status, body)
	}
	if status == "401" {
		eventually(t, patience, "the API server's log says "+words, func() bool { return strings.Contains(s.api.Log()[before:], words) })
	}
}

// TestTokensForKubernetes shows which tokens the API server takes, and for whom, as the guide sets it up.
func TestTokensForKubernetes(t *testing.T) {
	t.Parallel()
	s := newClusterSite(t)
	c := s.configuration(t, clusterDex)
	provider := startDex(t, newProvider(t, c))
	clients := []section{
		{"id": "kubectl", "name": "kubectl with a secret", "secret": "of-kubectl", "redirectURIs": []string{"http://localhost:8000"}},
		{"id": "kubernetes", "name": "Kubernetes", "public": true, "trustedPeers": []string{"dashboard", clientID}},
		{"id": "dashboard", "name": "Dashboard", "secret": "of-the-dashboard", "redirectURIs": []string{callbackURL}},
		{"id": "stranger", "name": "Stranger", "secret": "of-the-stranger", "redirectURIs": []string{callbackURL}},
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{callbackURL}},
	}
	c.with("staticClients", clients).with("connectors", []section{oidcConnector(c, provider.issuer, nil)}).with("logger", section{"format": "json"})
	turning := s.configuration(t, turningDex).with("staticClients", clients[1:2]).
		with("expiry", section{"idTokens": "8s"}).
		with("signer", section{"type": "local", "config": section{"keysRotationPeriod": "3s"}})
	d, short := s.start(t, c), s.start(t, turning)

	trust := s.trust(t, blockWith(t, loginGuide, "yml", "AuthenticationConfiguration"))
	_, second, _ := strings.Cut(trust, "jwt:\n")
	trust += strings.ReplaceAll(second, clusterDex, turningDex)
	file := swapFile(t, s.shared, "authentication.yaml", trust)
	s.api = startAPIServer(t, s.names, "--authentication-config="+file)
	s.environment = append(s.environment, "KUBECONFIG="+s.api.AdminKubeConfig)
	s.do(t, blockWith(t, loginGuide, "sh", "create clusterrole node-reader"))
	jane := s.token(t, d, asks{}).IDToken
	eventuallyLists(t, s.reader, s.api, s.list, jane)

	t.Run("S1-20 S1-22 S1-23 S1-27: who may list nodes", func(t *testing.T) {
		s.want(t, jane, "200", "")
		s.want(t, s.token(t, d, asks{user: "tester@example.com"}).IDToken, "403", `User \"tester@example.com\" cannot list resource \"nodes\"`)
	})
	t.Run("S1-22: refused by the rules", func(t *testing.T) {
		s.want(t, s.token(t, d, asks{user: "stranger@example.org"}).IDToken, "401", "only people of example.com")
		s.want(t, s.token(t, d, asks{user: "evil@example.com"}).IDToken, "401", "groups that begin with system are the cluster's own")
	})
	t.Run("S1-21: addresses that are not verified or not there", func(t *testing.T) {
		s.want(t, s.token(t, d, asks{user: "new@example.com"}).IDToken, "401", "email not verified")
		s.want(t, s.token(t, d, asks{scope: "openid groups"}).IDToken, "401", "email")
	})
	t.Run("S1-25: other clients", func(t *testing.T) { testPeers(t, s, d) })
	t.Run("S1-20: forged tokens", func(t *testing.T) { testForged(t, s, d, jane) })
	t.Run("S2-13: a user of another provider", func(t *testing.T) {
		const scope = "openid profile email groups audience:server:client_id:kubernetes"
		answer, err := newVisitor(d.transport).signIn(t.Context(), d.authURL("/auth/provider", url.Values{"scope": {scope}}))
		must(t, err)
		tokens, err := d.redeem(t.Context(), answer.Get("code"))
		must(t, err)
		s.want(t, tokens.IDToken, "403", `User \"`+adminEmail+`\"`) // who is known, and in other groups
	})
	t.Run("S2-18: log, metrics and health", func(t *testing.T) { testObserved(t, d) })
	t.Run("at once", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *clusterSite){
			"S2-11: kubectl and kubelogin":                                      func(t *testing.T, s *clusterSite) { testKubelogin(t, s, d) },
			"S0-27: signing keys are rotated, and tokens expire":                func(t *testing.T, s *clusterSite) { testRotation(t, s, short) },
			"S1-26 S2-06: another cluster, with another name for the same user": func(t *testing.T, s *clusterSite) { testSecondCluster(t, s, jane) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, s.apart())
			})
		}
	})
	t.Run("S1-22: the file is replaced while the API server runs", func(t *testing.T) {
		older := s.trust(t, blockWith(t, exampleGuide, "yaml", "AuthenticationConfiguration"))
		swapFile(t, s.shared, "authentication.yaml", replaced(t, older, "https://"+clusterDex, d.issuer, "[example-app]", "[stranger]"))
		token := s.token(t, d, asks{client: "stranger", secret: "of-the-stranger"}).IDToken
		eventuallyLists(t, s.reader, s.api, s.list, token)
		s.want(t, token, "200", "")
		s.want(t, jane, "401", `expected audience \"stranger\" got [\"kubernetes\"]`)
	})
}

// testPeers shows that tokens of other clients are refused, unless the cluster's client trusts them and they ask for its audience.
func testPeers(t *testing.T, s *clusterSite, d *dex) {
	const scope = "openid email groups audience:server:client_id:kubernetes"
	dashboard, stranger := asks{client: "dashboard", secret: "of-the-dashboard"}, asks{client: "stranger", secret: "of-the-stranger"}
	s.want(t, s.token(t, d, dashboard).IDToken, "401", `expected audience \"kubernetes\" got [\"dashboard\"]`)
	dashboard.scope, stranger.scope = scope, scope
	s.want(t, s.token(t, d, dashboard).IDToken, "200", "")
	if answer := s.token(t, d, stranger); answer.status != http.StatusBadRequest || answer.Error != "invalid_scope" {
		t.Errorf("a peer that isn't trusted gets status %d, error %q", answer.status, answer.Error)
	}
}

// testForged shows that nobody else's tokens are taken.
func testForged(t *testing.T, s *clusterSite, d *dex, token string) {
	other := startTokenIssuer(t)
	claims := section{"aud": "kubernetes", "sub": "jane", "email": "jane@example.com", "email_verified": true, "groups": []string{"developers"}}
	s.want(t, other.mint(t, claims), "401", "invalid bearer token")
	claims["iss"] = d.issuer
	s.want(t, other.mint(t, claims), "401", "failed to verify signature")
	signature := strings.LastIndex(token, ".") + 10 // not the last letters, of which some have unused bits
	changed := byte('A')
	if token[signature] == changed {
		changed = 'B'
	}
	s.want(t, token[:signature]+string(changed)+token[signature+1:], "401", "failed to verify signature")
	parts := strings.Split(token, ".")
	s.want(t, "eyJhbGciOiJub25lIn0."+parts[1]+".", "401", "oidc")
}

// testRotation uses tokens of three keys, and waits until one has expired.
func testRotation(t *testing.T, s *clusterSite, d *dex) {
	keys := map[string]bool{}
	var first string
	eventually(t, 2*patience, "three keys have signed tokens", func() bool {
		token := s.token(t, d, asks{}).IDToken
		header, _, _ := strings.Cut(token, ".")
		if !keys[header] {
			s.want(t, token, "200", "")
			keys[header] = true
		}
		if first == "" {
			first = token
		}
		return len(keys) == 3
	})
	eventually(t, patience, "the first token has expired", func() bool {
		status, _ := listNodes(t, s.reader, s.api, s.list, first)
		return status == "401"
	})
	s.want(t, first, "401", "token is expired")
}

// testSecondCluster has another API server trust the same client by flags, which calls people by their subject: a login that opens one opens
// the other. Sessions at Dex, which would join logins of several clients too, are not part of it yet.
func testSecondCluster(t *testing.T, s *clusterSite, token string) {
	flags := flagsOf(t, blocksOf(t, loginGuide, "flags")[0], swapFile(t, s.shared, "openid-ca.pem", string(s.authority.PEM)))
	for i := range flags {
		flags[i] = strings.Replace(flags[i], "--oidc-username-claim=email", "--oidc-username-claim=sub", 1)
	}
	second := startAPIServer(t, s.names, flags...)
	eventuallyLists(t, s.reader, second, s.list, token)
	_, body := listNodes(t, s.reader, second, s.list, token)
	want := `User \"https://dex.example.com:32000/dex#` + payloadOf(t, token)["sub"].(string) + `\"`
	if !strings.Contains(body, want) {
		t.Errorf("the other cluster says %s, want %s", body, want)
	}
	_, err := second.Kubectl(t.Context(), "create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", "--group=developers")
	must(t, err)
	eventually(t, patience, "the group may list nodes there too", func() bool {
		status, _ := listNodes(t, s.reader, second, s.list, token)
		return status == "200"
	})
}

var metricLine = regexp.MustCompile(`^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*",?)*\})? [^ ]+( \d+)?)$`)

// testObserved reads what a monitoring system reads.
func testObserved(t *testing.T, d *dex) {
	for _, path := range []string{"/healthz", "/healthz/live", "/healthz/ready"} {
		if status, body := d.fetch(t, d.telemetry+path); status != http.StatusOK {
			t.Errorf("%s: status %d: %s", path, status, body)
		}
	}
	status, metrics := d.fetch(t, d.telemetry+"/metrics")
	if status != http.StatusOK || !strings.Contains(metrics, "\ndex_") {
		t.Errorf("/metrics: status %d: %s", status, metrics)
	}
	for line := range strings.Lines(metrics) {
		if line = strings.TrimSuffix(line, "\n"); !metricLine.MatchString(line) {
			t.Errorf("/metrics has the line %q", line)
		}
	}
	for line := range strings.Lines(d.log.String()) {
		var entry struct {
			Time    time.Time
			Message string `json:"msg"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time.IsZero() || entry.Message == "" {
			t.Errorf("the log has the line %s (%v)", line, err)
		}
	}
}
