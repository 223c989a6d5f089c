package microsoft

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// connection is a connector to a tenant, or to many.
type connection struct {
	relyingparty.SignIn
	relyingparty.Logout
	cfg    *Config
	names  *names
	issuer atomic.Pointer[issuer] // nil before the metadata are read
}

var (
	_ connector.Rotating       = (*connection)(nil)
	_ connector.TokenIdentity  = (*connection)(nil)
	_ connector.Logout         = (*connection)(nil)
	_ connector.LogoutReceiver = (*connection)(nil)
	_ connector.Prober         = (*connection)(nil)
)

// maxKeyAge is for how long Microsoft's keys are known.
const maxKeyAge = time.Hour

// Open makes the connector. It asks Microsoft nothing yet.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := c.client().Over(client)
	conn := &connection{cfg: c, names: &names{log: env.Log, onlySecure: c.OnlySecurityGroups, graph: c.GraphURL}}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us, Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: relyingparty.ChallengeS256,
		},
		HTTP: client, Scopes: c.scopes, Params: c.params, Identify: conn.identify,
		AlwaysRenew: c.RolesAsGroups, // an ID token says which roles a user has
		OpenID: &relyingparty.OpenID{
			// Applications that map claims have keys of their own, which the metadata name if they are told of which application.
			Discovery: relyingparty.NewDiscovery(client, env.Log, c.APIURL+"/"+c.Tenant+"/v2.0", conn.adjust).
				With(url.Values{"appid": {c.ClientID}}),
			Tokens: &relyingparty.IDTokens{
				Keys: &relyingparty.Keys{Client: client, MaxAge: maxKeyAge}, ClientID: c.ClientID, IssuerFor: conn.issuerFor,
			},
			KeepsSessions: true,
		},
	}
	conn.Logout = relyingparty.Logout{
		Discovery: conn.OpenID.Discovery, Tokens: conn.OpenID.Tokens, IsIssuer: conn.isIssuer, Env: env,
	}
	return conn, nil
}

// Probe reads what Microsoft says of the tenant.
func (c *connection) Probe(ctx context.Context) error {
	_, err := c.OpenID.Discovery.Read(ctx)
	return err
}

// params returns how Microsoft is to ask the user: as the application wants it, else as is configured.
func (c *Config) params(r connector.LoginRequest) url.Values {
	params := url.Values{}
	for name, value := range map[string]string{
		"prompt": cmp.Or(onePrompt(r.Prompt), c.PromptType), "domain_hint": c.DomainHint, "login_hint": r.LoginHint,
	} {
		if value != "" {
			params.Set(name, value)
		}
	}
	return params
}

// onePrompt returns the one that asks most of the user, as Microsoft takes no more.
func onePrompt(prompts []string) string {
	for _, prompt := range []string{"login", "select_account", "consent"} {
		if slices.Contains(prompts, prompt) {
			return prompt
		}
	}
	return ""
}

// An issuer is the iss of ID tokens, with the id of a tenant in the middle.
type issuer struct {
	before, after string
	tenant        string // the id of the only one; empty where there are many
}

// anyTenant is what stands for the tenant in the issuer of many.
const anyTenant = "{tenantid}"

// readIssuer finds the tenant in an issuer: the first part of the path.
func readIssuer(text string) (*issuer, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if tenant != anyTenant && !isID(tenant) {
		return nil, fmt.Errorf("the issuer %q names no tenant", text)
	}
	before, after, _ := strings.Cut(text, "/"+tenant)
	is := &issuer{before: before + "/", after: after}
	if tenant != anyTenant {
		is.tenant = strings.ToLower(tenant)
	}
	return is, nil
}

// adjust reads who issues ID tokens, and keeps to the addresses that are configured.
func (c *connection) adjust(m *relyingparty.Metadata) error {
	is, err := readIssuer(m.Issuer)
	if err != nil {
		return err
	}
	switch {
	case c.cfg.pinned() && is.tenant == "":
		return fmt.Errorf("the issuer %q is not one of the tenant %s", m.Issuer, c.cfg.Tenant)
	case isID(c.cfg.Tenant) && is.tenant != strings.ToLower(c.cfg.Tenant):
		return fmt.Errorf("the issuer %q is another tenant's than %s", m.Issuer, c.cfg.Tenant)
	}
	c.issuer.Store(is)
	base := c.cfg.APIURL + "/" + c.cfg.Tenant + "/oauth2/v2.0"
	m.AuthURL, m.TokenURL, m.AuthMethods = base+"/authorize", base+"/token", []string{relyingparty.AuthPost}
	m.AnswersWithIss = m.AnswersWithIss && is.tenant != ""
	m.EndSessionURL, m.FrontChannelSessions = base+"/logout", true // it doesn't say so, but sends the sid
	return nil
}

// issuerFor returns what the issuer of a token must be, so that its tid can be believed. Whether that tenant's accounts may log in
// is another question, see checkTenant.
func (c *connection) issuerFor(said relyingparty.Claims) string {
	is, tid := c.issuer.Load(), said.Text("tid")
	if is == nil || !isID(tid) {
		return ""
	}
	return is.before + tid + is.after
}

// isIssuer reports whether a tenant that may log in issues tokens under a name.
func (c *connection) isIssuer(iss string) bool {
	is := c.issuer.Load()
	if is == nil || !strings.HasPrefix(iss, is.before) || !strings.HasSuffix(iss, is.after) || len(iss) < len(is.before)+len(is.after) {
		return false
	}
	tenant := strings.ToLower(iss[len(is.before) : len(iss)-len(is.after)])
	return isID(tenant) && (is.tenant == "" || is.tenant == tenant)
}
