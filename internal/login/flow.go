// Package login is the browser's way from an application's request to a code for it: the choice of a connector, the
// password form or the trip to another provider, and the user's consent. Nothing is stored before somebody has proved who
// they are; until then the request travels sealed in a cookie.
package login

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/pkce"
	"dex/internal/policy"
	"dex/internal/seal"
	"dex/internal/store"
	"dex/internal/token"
	"dex/internal/ui"
)

// Hints verifies tokens that applications show as a hint of who the user is.
type Hints interface {
	// VerifyHint returns whom a token of ours names, be it expired.
	VerifyHint(token string) (subject string, err error)
}

// Config is what a Flow is made of.
type Config struct {
	Issuer     string // as configured
	IssuerURL  *url.URL
	Clients    *client.Registry
	Connectors *federation.Registry
	Policy     *policy.Policy
	Codes      *token.Codes
	Minter     *token.Minter
	Devices    Devices
	Limits     *limit.Set
	Hints      Hints
	Ring       *seal.Ring
	Store      store.Store
	Pages      *ui.UI
	Log        *slog.Logger
	Now        func() time.Time

	RequestLifetime  time.Duration // how long a login may take
	SkipApproval     bool
	AlwaysShowChoice bool
	ResponseTypes    []string // as configured: words, and combinations of words
	PKCE             pkce.Rules

	// DeviceRedirect returns the page for an authorization request with a redirect URI of upstream's device flow; nil for
	// none.
	DeviceRedirect func(redirectURI, state string) (target string, ok bool)

	// Switches of oauth2.compatibility. The zero value of each is the default.
	Redirects       client.RedirectRules
	AnyForm         bool     // ignore what makes no sense instead of refusing it
	OptionalNonce   bool     // a nonce may be missing where a code comes too
	ShowFailures    bool     // the user, not the application, is told that a source failed
	KeepHints       bool     // sources are not told how the application wants the user to be asked
	SilentLoginAsks bool     // prompt=none does what no prompt does
	AnyBrowser      bool     // requests are kept in the storage, and any browser can go on with them
	NoIssuer        bool     // answers don't name the issuer
	OnlyGrants      []string // the grants that the authorization endpoint serves; nil for all
}

// Flow serves the pages of a login.
type Flow struct {
	cfg      Config
	page     *page.Frame
	requests keeper
	pending  *store.Table[pending]
	log      *slog.Logger
	now      func() time.Time
}

// New returns the pages of a login.
func New(cfg Config) *Flow {
	return &Flow{
		cfg:      cfg,
		page:     page.New(cfg.IssuerURL, cfg.Pages, cfg.Log, "login failed"),
		requests: newKeeper(cfg),
		pending:  store.In(cfg.Store, pendingKind),
		log:      cfg.Log,
		now:      cfg.Now,
	}
}

// Authorize is the authorization endpoint: it begins a login, at once where there is nothing to choose.
func (f *Flow) Authorize() http.Handler { return f.serve(f.authorize) }

func (f *Flow) authorize(w http.ResponseWriter, r *http.Request) error {
	if target, ok := f.devicePage(r); ok {
		http.Redirect(w, r, target, http.StatusFound) //nolint:gosec // G710: a path of ours
		return nil
	}
	req, c, err := f.read(r)
	if err != nil {
		return err
	}
	return f.offer(w, r, req, c)
}

// read returns the request that the browser brings, or the one that it holds already.
func (f *Flow) read(r *http.Request) (*request, *client.Client, error) {
	req, c, err := f.resume(r)
	if req != nil || err != nil {
		return req, c, err
	}
	return f.parse(r)
}

// offer lets the user choose where to sign in, or begins at once where there is nothing to choose.
func (f *Flow) offer(w http.ResponseWriter, r *http.Request, req *request, c *client.Client) error {
	if err := f.checkFactor(req, c); err != nil {
		return err
	}
	choice, err := f.choice(r.Context(), req, c)
	if err != nil {
		return err
	}
	if len(choice) == 0 {
		return refuse(req, oauth.AccessDenied, "No connector serves this client.", nil)
	}
	if req.ConnectorID != "" {
		i := slices.IndexFunc(choice, func(d *federation.Definition) bool { return d.ID == req.ConnectorID })
		if i < 0 {
			return refuse(req, oauth.InvalidRequest, "The connector_id names no connector that serves this client.", nil)
		}
		return f.begin(w, r, req, choice[i])
	}
	if i := hinted(req, choice); i >= 0 {
		return f.begin(w, r, req, choice[i])
	}
	if len(choice) == 1 && !f.cfg.AlwaysShowChoice {
		return f.begin(w, r, req, choice[0])
	}
	return f.choose(w, r, req, c, choice)
}

// checkFactor refuses the users of a client who need more than they can show here.
func (f *Flow) checkFactor(req *request, c *client.Client) error {
	var refused *oauth.Error
	if err := f.cfg.Policy.SecondFactor(c, req.grant()); errors.As(err, &refused) {
		return refuse(req, oauth.AccessDenied, refused.PublicDescription(), err)
	}
	return nil
}

// hinted returns which of the connectors the user whom the application expects has signed in through before; -1 for none,
// and where the user is to choose anew.
func hinted(req *request, choice []*federation.Definition) int {
	if req.Subject == "" || slices.Contains(req.Prompt, "select_account") {
		return -1
	}
	_, connectorID, err := token.ReadSubject(req.Subject)
	if err != nil {
		return -1
	}
	return slices.IndexFunc(choice, func(d *federation.Definition) bool { return d.ID == connectorID })
}

// choice returns the connectors through which users may sign in to a client.
func (f *Flow) choice(ctx context.Context, req *request, c *client.Client) ([]*federation.Definition, error) {
	all, err := f.cfg.Connectors.List(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(d *federation.Definition) bool {
		return !d.BeginsLogins() || f.cfg.Policy.Connector(c, d, req.grant()) != nil
	}), nil
}

// choose shows the page where the user picks a connector. Its links repeat the request, so nothing is kept yet; but a
// login for a device is, once, as no address can repeat it.
func (f *Flow) choose(
	w http.ResponseWriter, r *http.Request, req *request, c *client.Client, choice []*federation.Definition,
) error {
	params := repeated(r.Form)
	if req.UserCode != "" && req.ID == "" {
		req.ID = newID(f.now())
		if err := f.keep(w, r, req); err != nil {
			return err
		}
	}
	if req.UserCode != "" {
		params = url.Values{"req": {req.ID}}
	} else if err := f.keepable(req); err != nil {
		return err
	}
	query := "?" + params.Encode()
	shown := ui.LoginPage{Client: c.DisplayName()}
	for _, d := range choice {
		shown.Connectors = append(shown.Connectors, ui.ConnectorLink{
			ID: d.ID, Name: d.Name, Type: d.Type,
			URL:     f.connectorPath(d.ID) + query,
			Failing: f.cfg.Connectors.Failing(d.ID),
		})
	}
	f.page.Login(w, r, shown)
	return nil
}

// repeated returns what a request's links repeat of it: the parameters that have a meaning, but for the choice itself.
func repeated(form url.Values) url.Values {
	params := url.Values{"client_id": form["client_id"], "redirect_uri": form["redirect_uri"]}
	for _, name := range single {
		if value := form.Get(name); value != "" && name != "connector_id" {
			params.Set(name, value)
		}
	}
	return params
}

// AuthorizeConnector begins a login through the connector that the path names.
func (f *Flow) AuthorizeConnector() http.Handler { return f.serve(f.authorizeConnector) }

func (f *Flow) authorizeConnector(w http.ResponseWriter, r *http.Request) error {
	if target, ok := f.devicePage(r); ok {
		http.Redirect(w, r, target, http.StatusFound) //nolint:gosec // G710: a path of ours
		return nil
	}
	req, c, err := f.read(r)
	if err != nil {
		return err
	}
	id := r.PathValue("connector")
	if req.UserCode == "" && req.ConnectorID != "" && req.ConnectorID != id {
		return page.Errorf(http.StatusBadRequest, "The request names two different connectors.")
	}
	all, err := f.cfg.Connectors.List(r.Context())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(d *federation.Definition) bool { return d.ID == id })
	if i < 0 || !all[i].BeginsLogins() {
		return page.Errorf(http.StatusBadRequest, "There is no such way to log in.").
			Hint("Go back to the application and log in again.")
	}
	if err := f.checkFactor(req, c); err != nil {
		return err
	}
	if err := f.cfg.Policy.Connector(c, all[i], req.grant()); err != nil {
		return page.Errorf(http.StatusForbidden, "The application does not accept this way to log in.").Because(err)
	}
	return f.begin(w, r, req, all[i])
}

// refuse is the error that tells the application no.
func refuse(req *request, code, description string, cause error) error {
	return &answerError{req: req, err: oauth.Errorf(code, "%s", description).Because(cause)}
}

// keep keeps the request in the browser.
func (f *Flow) keep(w http.ResponseWriter, r *http.Request, req *request) error {
	return tooLong(req, f.requests.keep(w, r, req))
}

// keepable refuses a request that could not be kept later.
func (f *Flow) keepable(req *request) error { return tooLong(req, f.requests.fits(req)) }

func tooLong(req *request, err error) error {
	if errors.Is(err, errTooLong) {
		return refuse(req, oauth.InvalidRequest, "The request is too long; a shorter state would help.", err)
	}
	return err
}

// connectorPath returns the path that begins a login through a connector. The id is encoded once.
func (f *Flow) connectorPath(id string) string {
	return f.page.Path("/auth/"+url.PathEscape(id), nil)
}
