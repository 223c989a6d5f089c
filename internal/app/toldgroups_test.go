package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/app"
	"dex/internal/connector"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// A league is a source at which one user, ann, has the groups that the test says. Like an OpenID provider it tells groups only
// if the browser was sent there for them.
type league struct {
	groups atomic.Pointer[[]string]
	extra  map[string]any
}

func newLeague(groups ...string) *league {
	g := &league{}
	g.groups.Store(&groups)
	return g
}

func (*league) AsksPassword() bool { return false }

func (g *league) Open(context.Context, connector.Env) (any, error) { return leagueOpened{g}, nil }

type leagueOpened struct{ *league }

func (g leagueOpened) identity(groups bool) connector.Identity {
	id := connector.Identity{UserID: "ann", Username: "Ann", Email: "ann@league.test", EmailVerified: true, Extra: g.extra}
	if groups {
		id.Groups = *g.groups.Load()
	}
	return id
}

func (leagueOpened) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	data := "-"
	if r.Scopes.Groups {
		data = "groups"
	}
	return connector.Redirect{URL: r.CallbackURL + "?" + url.Values{"state": {r.State}}.Encode(), Data: []byte(data)}, nil
}

func (g leagueOpened) HandleCallback(_ context.Context, r connector.Return) (connector.Identity, error) {
	return g.identity(string(r.Data) == "groups"), nil
}

func (g leagueOpened) Refresh(_ context.Context, s connector.Scopes, _ connector.Identity) (connector.Identity, error) {
	return g.identity(s.Groups), nil
}

// inLeague is a configuration with rules of the client shop, and of the connector.
func inLeague(ofShop, ofSource string) string {
	return fmt.Sprintf(`
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
sessions: {ssoSharedWithDefault: all, absoluteLifetime: 1h}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: mockCallback, id: league, name: League%s}
staticClients:
- {id: shop, secret: shop-secret, name: Shop, redirectURIs: ["https://shop.test/cb"]%s}
- {id: till, secret: till-secret, name: Till, redirectURIs: ["https://till.test/cb"]}
`, ofSource, ofShop)
}

func (g *league) start(t *testing.T, yaml string, kept store.Store) *server {
	t.Helper()
	plan := planOf(t, yaml)
	plan.ReplaceConnector("league", g)
	core, err := app.New(t.Context(), plan, app.Options{
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
		WrapStore: func(store.Store) store.Store { return borrowed{kept} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{t: t, handler: core.Handler()}
}

// atLeague signs in at the league, if the browser is sent there.
func (b *browser) atLeague(client string, pairs ...string) answer {
	b.t.Helper()
	a := b.visit(to(client, append([]string{"connector_id", "league"}, pairs...)...))
	if a.status == http.StatusFound {
		a = b.visit(a.path())
	}
	return a
}

// Groups of a session count no longer than if their user had not signed in anew to an application that doesn't want them.
func TestSignInWithoutGroupsProlongsNoGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newLeague("hr")
		b := g.start(t, inLeague(", allowedGroups: [hr]", ""), memory.New()).browser()
		if code := b.atLeague("shop", "scope", "openid").appCode(); code == "" {
			t.Fatal("a member is refused")
		}
		g.groups.Store(&[]string{"sales"})
		signInToTill := func() {
			t.Helper()
			if code := b.atLeague("till", "scope", "openid", "prompt", "login").appCode(); code == "" {
				t.Fatal("till refuses")
			}
		}
		time.Sleep(40 * time.Minute)
		signInToTill()
		if a := b.visit(to("shop", "scope", "openid")); a.appCode() == "" {
			t.Errorf("till has taken the groups from shop: %d %s", a.status, a.header.Get("Location"))
		}
		time.Sleep(40 * time.Minute)
		if a := b.visit(to("till", "scope", "openid")); a.appCode() == "" {
			t.Fatalf("there is no session any more: %d", a.status)
		}
		if a := b.atLeague("shop", "scope", "openid"); a.appCode() != "" {
			t.Errorf("somebody who has left the group still gets in: %d", a.status)
		}
		signInToTill()
		if a := b.atLeague("shop", "scope", "openid"); a.appCode() != "" {
			t.Errorf("somebody who has left the group gets in again: %d", a.status)
		}
	})
}

// A source that was not asked for groups has told none: a rule that comes while the user is there holds.
func TestRuleThatComesDuringLogin(t *testing.T) {
	t.Parallel()
	g, kept := newLeague("contractors"), memory.New()
	before, after := g.start(t, inLeague("", ""), kept), g.start(t, inLeague(", deniedGroups: [contractors]", ""), kept)
	b := before.browser()
	away := b.visit(to("shop", "connector_id", "league", "scope", "openid")).wantStatus(http.StatusFound).path()
	b.server = after
	if a := b.visit(away); a.appCode() != "" {
		t.Errorf("somebody who is denied gets in: %s", a.header.Get("Location"))
	}
	if a := b.atLeague("shop", "scope", "openid"); a.appCode() != "" {
		t.Errorf("and by the session: %s", a.header.Get("Location"))
	}
}

// A refresh token tells at introspection no more than tokens do.
func TestIntrospectedRefreshTokenTellsNoMoreThanTokens(t *testing.T) {
	t.Parallel()
	g := newLeague("hr", "system:masters", "secret-project")
	s := g.start(t, inLeague(`, allowedGroups: [hr], groups: {match: [hr]}`, ""), memory.New())
	b := s.browser()
	for scope, want := range map[string]string{"openid offline_access": "<nil>", "openid offline_access groups": "[hr]"} {
		granted := b.redeem("shop", b.atLeague("shop", "scope", scope, "prompt", "login"))
		if got := fmt.Sprint(claims(t, granted.text("id_token"))["groups"]); got != want {
			t.Errorf("%s: the token has the groups %s", scope, got)
		}
		a := s.introspect(granted.text("refresh_token"), as("shop", "shop-secret"))
		ext, _ := a.json()["ext"].(map[string]any)
		if got := fmt.Sprint(ext["groups"]); got != want {
			t.Errorf("%s: the refresh token tells the groups %s, want %s", scope, got, want)
		}
		if ext["email"] != nil {
			t.Errorf("%s: the refresh token tells the e-mail address %v", scope, ext["email"])
		}
	}
}

// Groups that an expression takes from the source's claims are as guarded as others.
func TestClaimOfGroupsIsGuarded(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]any{
		`claims.roles`:                           {"dev"},
		`identity.groups + claims.roles`:         {"hr", "dev"},
		`identity.groups + ["system:reviewers"]`: {"hr", "system:reviewers"},
	} {
		g := newLeague("hr", "system:masters")
		g.extra = map[string]any{"roles": []any{"dev", "system:masters", "SYSTEM:nodes"}}
		b := g.start(t, inLeague(fmt.Sprintf(`, tokenPolicy: {claims: [{key: '"groups"', value: '%s'}]}`, value), ""), memory.New()).browser()
		got, _ := claims(t, b.redeem("shop", b.atLeague("shop", "scope", "openid groups")).text("id_token"))["groups"].([]any)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the groups are %v, want %v", value, got, want)
		}
	}
}

// A scope that the client may no longer have when its user comes back is in no token, of the implicit grant neither.
func TestScopeThatIsForbiddenDuringLogin(t *testing.T) {
	t.Parallel()
	const implicit = "oauth2: {skipApprovalScreen: true, responseTypes: [code, token, id_token]}"
	yaml := func(rules string) string {
		return strings.Replace(inLeague(rules, ""), "oauth2: {skipApprovalScreen: true}", implicit, 1)
	}
	g, kept := newLeague("hr"), memory.New()
	before, after := g.start(t, yaml(""), kept), g.start(t, yaml(", allowedScopes: [profile]"), kept)
	b := before.browser()
	away := b.visit(to("shop", "connector_id", "league", "scope", "openid groups", "response_type", "id_token")).wantStatus(http.StatusFound).path()
	b.server = after
	got := claims(t, b.visit(away).wantStatus(http.StatusSeeOther).params().Get("id_token"))
	if got["groups"] != nil {
		t.Errorf("the token has the groups %v", got["groups"])
	}
}
