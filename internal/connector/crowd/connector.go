package crowd

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"dex/internal/connector"
	"dex/internal/outbound"
)

// connection is a connector to Crowd.
type connection struct {
	cfg *Config
	api api
	log *slog.Logger
}

var (
	_ connector.Password  = (*connection)(nil)
	_ connector.Refresher = (*connection)(nil)
	_ connector.Prober    = (*connection)(nil)
)

// AsksPassword implements connector.PasswordForm.
func (*Config) AsksPassword() bool { return true }

// Open makes the connector. It does not call Crowd.
func (c *Config) Open(_ context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	return &connection{
		cfg: c, log: env.Log, api: api{base: c.BaseURL, id: c.ClientID, password: c.ClientSecret, client: client},
	}, nil
}

// Close closes idle connections.
func (c *connection) Close() error {
	c.api.client.CloseIdleConnections()
	return nil
}

// Prompt implements connector.Password.
func (c *connection) Prompt() string { return c.cfg.UsernamePrompt }

// Probe implements connector.Prober.
func (c *connection) Probe(ctx context.Context) error { return c.api.ping(ctx) }

// maxName and maxPassword bound what is sent to Crowd, in bytes: its own limit is 255 characters for names.
const (
	maxName     = 1024
	maxPassword = 4096
)

// Login implements connector.Password.
func (c *connection) Login(
	ctx context.Context, s connector.Scopes, username, password string,
) (connector.Identity, bool, error) {
	if username == "" || password == "" || len(username) > maxName || len(password) > maxPassword || !utf8.ValidString(username) {
		return connector.Identity{}, false, nil
	}
	made, err := c.api.authenticate(ctx, username, password)
	if reason := reasonOf(err); reason == reasonWrong || reason == reasonNotFound {
		c.log.DebugContext(ctx, "crowd refuses the name or the password", "username", username)
		return connector.Identity{}, false, nil
	}
	if err != nil {
		return connector.Identity{}, false, denial(err)
	}
	c.end(ctx, made)
	u, err := c.api.user(ctx, username)
	if err != nil {
		return connector.Identity{}, false, err
	}
	id, err := c.identify(ctx, s, u)
	if err == nil && s.OfflineAccess {
		id.Data, err = json.Marshal(stored{Username: username})
	}
	return id, err == nil, err
}

// endTimeout bounds the call that ends a session. Users wait for it.
const endTimeout = 5 * time.Second

// end ends a session that was made only to see whether Crowd lets the user in.
func (c *connection) end(ctx context.Context, s session) {
	if s.Token == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if err := c.api.end(ctx, s); err != nil {
		c.log.DebugContext(ctx, "session stays in crowd until it expires", "err", err)
	}
}

// denial turns a refusal of the user into a *connector.Denied, and returns other errors as they are.
func denial(err error) error {
	sentence := ""
	switch reasonOf(err) {
	case reasonInactive:
		sentence = inactive
	case reasonExpired:
		sentence = "Your password has expired. Change it, then log in again."
	case reasonNotHere:
		sentence = "Your account is not allowed to log in here. Ask your administrator."
	default:
		return err
	}
	return &connector.Denied{Reason: sentence, Cause: err}
}

const inactive = "Your account is not active. Ask your administrator."

// identify makes an identity from the record, with the groups. A user in none of the configured groups is denied,
// whatever the application asks for.
func (c *connection) identify(ctx context.Context, s connector.Scopes, u *user) (connector.Identity, error) {
	if u.Active != nil && !*u.Active {
		return connector.Identity{}, &connector.Denied{Reason: inactive}
	}
	id := connector.Identity{
		UserID: u.Key, Username: u.Name, Email: u.Email, PreferredUsername: c.preferredUsername(u),
		EmailVerified: u.Email != "" && (c.cfg.EmailVerified == nil || *c.cfg.EmailVerified),
	}
	if !connector.NeedsGroups(s, c.cfg.Groups) {
		return id, nil
	}
	groups, err := c.api.groups(ctx, u.Name)
	if err != nil {
		return connector.Identity{}, err
	}
	if groups, err = connector.AllowGroups("groups", groups, c.cfg.Groups); err != nil {
		return connector.Identity{}, err
	}
	if s.Groups {
		id.Groups = groups
	}
	return id, nil
}

func (c *connection) preferredUsername(u *user) string {
	switch c.cfg.PreferredUsernameField {
	case fieldKey:
		return u.Key
	case fieldName:
		return u.Name
	case fieldEmail:
		return u.Email
	}
	return ""
}

// stored is what is kept of a login, in upstream's format.
type stored struct {
	Username string `json:"username"` // as typed
}

// Refresh implements connector.Refresher.
func (c *connection) Refresh(ctx context.Context, s connector.Scopes, last connector.Identity) (connector.Identity, error) {
	var kept stored
	if err := json.Unmarshal(last.Data, &kept); err != nil || kept.Username == "" {
		return connector.Identity{}, fmt.Errorf("%w: nothing was kept of the login", connector.ErrGone)
	}
	u, err := c.api.user(ctx, kept.Username)
	if err != nil {
		return connector.Identity{}, goneIfUnknown(err)
	}
	if u.Key != last.UserID {
		return connector.Identity{}, fmt.Errorf("%w: the name belongs to another user now", connector.ErrGone)
	}
	// There is no password to check, but everything else that keeps a user out is checked.
	made, err := c.api.vouch(ctx, kept.Username)
	if err != nil {
		return connector.Identity{}, denial(goneIfUnknown(err))
	}
	c.end(ctx, made)
	id, err := c.identify(ctx, s, u)
	if err != nil {
		return connector.Identity{}, err
	}
	id.Data = last.Data
	return id, nil
}

// goneIfUnknown marks a refusal that means that the user no longer exists, or that Crowd no longer lets them in.
func goneIfUnknown(err error) error {
	if reason := reasonOf(err); reason == reasonNotFound || reason == reasonWrong {
		return fmt.Errorf("%w: %w", connector.ErrGone, err)
	}
	return err
}
