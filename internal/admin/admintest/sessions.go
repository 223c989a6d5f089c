package admintest

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/factor"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/logout"
	"dex/internal/logout/backchannel"
	"dex/internal/outbound"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
)

// addSessions adds sessions, and what ends them. The clients that they know are only those that have used sessions: shop, which is
// told of their end, and till.
func (f *Fixture) addSessions(t testing.TB, log *slog.Logger) {
	t.Helper()
	issuer, err := url.Parse("https://dex.test")
	if err != nil {
		t.Fatal(err)
	}
	clients := client.NewRegistry([]*client.Client{
		{ID: "shop", BackchannelLogoutURI: "https://shop.test/out"}, {ID: "till"},
	}, f.Store, limit.NewSet(), log)
	f.Sessions = session.New(session.Config{
		Store: f.Store, IssuerURL: issuer, CookieName: "s", Idle: time.Hour, Lifetime: 24 * time.Hour, MaxAccounts: 5, Now: time.Now,
	})
	f.Identities = identity.New(f.Store, 0, time.Now)
	f.Enrolled, err = factor.New(factor.Config{
		Store: f.Store, IssuerURL: issuer.String(), Identities: f.Identities, Events: f,
		Authenticators: []factor.Authenticator{{ID: "app", Type: factor.TypeTOTP}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.Sessions, f.cfg.Identities, f.cfg.Factors = f.Sessions, f.Identities, f.Enrolled
	f.cfg.SignOut = logout.New(logout.Config{
		Issuer: issuer.String(), IssuerURL: issuer, Store: f.Store, Sessions: f.Sessions, Families: f.Families, Clients: clients,
		Log: log, Events: f,
		// It is never run: what is queued stays in the storage.
		Queue: backchannel.New(backchannel.Config{
			Store: f.Store, Events: f, Log: log,
			Settings: func() backchannel.Settings {
				return backchannel.Settings{Clients: clients, Guard: outbound.NewGuard(nil)}
			},
		}),
	})
}

// WithoutSessions returns the methods over the same storage where sessions are off.
func (f *Fixture) WithoutSessions() *admin.Service {
	cfg := f.cfg
	cfg.Sessions, cfg.Factors, cfg.SignOut = nil, nil, nil
	return admin.New(cfg)
}

// SignIn signs a user in: in a new browser, with a refresh token for each client.
func (f *Fixture) SignIn(t testing.TB, sessionID, userID, connectorID string, clients ...string) {
	t.Helper()
	now := time.Now()
	who := connector.Identity{UserID: userID, Username: "Jane", Email: userID + "@example.com", EmailVerified: true, Groups: []string{"g"}}
	v := session.Session{
		ConnectorID: connectorID, Identity: who, AuthTime: now, Created: now, LastUsed: now, Ends: now.Add(24 * time.Hour), Idle: now.Add(time.Hour),
		Methods: []string{"pwd"}, Address: "192.0.2.1", UserAgent: "Browser",
		Secrets: []session.Secret{{Hash: []byte("hash-of-secret"), Issued: now}},
		Source:  connector.SourceSession{ID: "source-session", Subject: "source-subject", Data: []byte("source-token")},
		Clients: map[string]session.Participation{},
	}
	for _, id := range clients {
		v.Clients[id] = session.Participation{First: now, Last: now, ViaSSO: id == "till"}
	}
	if _, err := f.Sessions.Table().Create(t.Context(), sessionID, v); err != nil {
		t.Fatal(err)
	}
	for _, id := range clients {
		f.LogIn(t, sessionID+"-"+id, token.Authorization{ClientID: id, ConnectorID: connectorID, Identity: who, SessionID: sessionID})
		login := identity.Login{Claims: who, ConnectorID: connectorID, Proved: true, ClientID: id, Consented: []string{"email", "openid"}}
		if err := f.Identities.Note(t.Context(), login); err != nil {
			t.Fatal(err)
		}
	}
}

// LogIn begins a login that a refresh token keeps alive.
func (f *Fixture) LogIn(t testing.TB, loginID string, a token.Authorization) {
	t.Helper()
	if _, err := f.Families.Begin(t.Context(), loginID, "code", a); err != nil {
		t.Fatal(err)
	}
}

// Left returns the sessions and the logins that there are, and how many logout tokens are queued, up to a page.
func (f *Fixture) Left(t testing.TB) string {
	t.Helper()
	sessions, err := f.Sessions.Table().All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range sessions {
		names = append(names, e.Key)
	}
	slices.Sort(names)
	logins := map[string]bool{}
	for _, who := range []string{"u1", "u2", "u3"} {
		for _, connectorID := range []string{"local", "corp", "gone"} {
			all, err := f.Logins(As(t, admin.RoleAll), who, connectorID)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range all {
				logins[l.FamilyID] = true
			}
		}
	}
	queued, err := f.Store.List(t.Context(), "logouttoken", store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v %v %d", names, slices.Sorted(maps.Keys(logins)), len(queued))
}

// TOTPSecret and PublicKey are what nobody must be told of factors that Enroll makes.
const TOTPSecret, PublicKey = "secret-of-an-app", "public-key-of-a-key"

// Enroll gives a user an app of the authenticator "app", a copied key of "key" with the id "credential", two recovery codes, and as many
// wrong codes.
func (f *Fixture) Enroll(t testing.TB, userID, connectorID string, wrong int) {
	t.Helper()
	at := time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)
	r := factor.Record{
		UserID: userID, ConnectorID: connectorID,
		TOTP: map[string]factor.TOTP{"app": {Secret: []byte(TOTPSecret), Created: at, LastUsed: at.Add(time.Hour)}},
		Credentials: []factor.Credential{{
			ID: []byte("credential"), Authenticator: "key", Name: "Blue key", PublicKey: []byte(PublicKey), SignCount: 7, Clone: true,
			BackupEligible: true, AAGUID: []byte("aaguid"), Attestation: "packed", Transports: []string{"usb"}, Created: at,
		}},
		RecoveryCodes: [][]byte{[]byte("hash-1"), []byte("hash-2")}, Guesses: factor.Guesses{Wrong: wrong},
	}
	if _, err := store.In(f.Store, factor.Kind).Create(t.Context(), identity.Key(userID, connectorID), r); err != nil {
		t.Fatal(err)
	}
}
