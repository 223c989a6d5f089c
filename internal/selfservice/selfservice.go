// Package selfservice lets users of our own password database help themselves by mail: set another password when they have forgotten
// theirs, set the first one when they are invited, and prove that they read the mail to their address.
//
// Nothing is stored for that. A link has all that there is to know, sealed, and is good as long as the user's password is the one
// that it was made for: so it works once, on all replicas.
package selfservice

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/mail"
	"dex/internal/page"
	"dex/internal/refresh"
	"dex/internal/seal"
	"dex/internal/session"
	"dex/internal/token"
	"dex/internal/ui"
)

// A SignOut ends sessions.
type SignOut interface {
	EndUser(ctx context.Context, userID, connectorID string, why event.SessionEnd) error
}

// Config is what a SelfService is made of.
type Config struct {
	IssuerURL   *url.URL
	Users       *local.Users
	Identities  *identity.Identities
	Policy      *local.Policy
	Clients     *client.Registry
	Families    *refresh.Families
	Revocations *token.Revocations
	Ring        *seal.Ring
	Queue       *mail.Queue
	Limits      *limit.Set
	Pages       *ui.UI
	Log         *slog.Logger
	Events      event.Sink
	Now         func() time.Time

	// Sessions and SignOut are nil where sessions are off.
	Sessions *session.Sessions
	SignOut  SignOut

	// What is switched on.
	Reset, Invitations, Verification  bool
	ResetLifetime, InvitationLifetime time.Duration
}

// connectorID is the connector of all users here.
const connectorID = federation.LocalID

// SelfService is the pages, and what operators ask for. It is safe for concurrent use.
type SelfService struct {
	cfg    Config
	page   *page.Frame
	cookie cookie
}

// New returns the self-service of a configuration.
func New(cfg Config) *SelfService {
	return &SelfService{
		cfg: cfg, page: page.New(cfg.IssuerURL, cfg.Pages, cfg.Events).ForSelfService(), cookie: newCookie(cfg.IssuerURL, cfg.ResetLifetime),
	}
}

// Paths of the pages, below the issuer's.
const (
	resetPath      = "/reset"
	passwordPath   = "/reset/password"
	invitationPath = "/invitation"
	verifyPath     = "/verify"
	sendPath       = "/verify/send"
)

// A Route is a page, by its path below the issuer's.
type Route struct {
	Path    string
	Handler http.Handler
	Methods []string
}

// Routes returns the pages of what is switched on. No GET uses up a link: programs that look at mail open all links in it.
func (s *SelfService) Routes() []Route {
	both, post := []string{http.MethodGet, http.MethodPost}, []string{http.MethodPost}
	var routes []Route
	if s.cfg.Reset {
		routes = append(routes, Route{resetPath, s.serve(s.ask), both}, Route{passwordPath, s.serve(s.password(reset)), both})
	}
	if s.cfg.Invitations {
		routes = append(routes, Route{invitationPath, s.serve(s.password(invitation)), both})
	}
	if s.Verifies() {
		routes = append(routes, Route{verifyPath, s.serve(s.verify), both}, Route{sendPath, s.serve(s.sendVerification), post})
	}
	return routes
}

// serve turns a step into a handler, whose answers nobody keeps.
func (s *SelfService) serve(step page.Step) http.Handler {
	return s.page.Serve(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		return step(w, r)
	})
}
