package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
	"dex/internal/connector/ldap/pool"
	"dex/internal/id"
)

// A directory is a connector to an LDAP directory. It is safe for concurrent use.
type directory struct {
	config Config
	pool   *pool.Pool
	log    *slog.Logger
}

var (
	_ connector.Finder    = (*directory)(nil)
	_ connector.Password  = (*directory)(nil)
	_ connector.Refresher = (*directory)(nil)
	_ connector.Prober    = (*directory)(nil)
	_ io.Closer           = (*directory)(nil)
)

// Prompt implements connector.Password.
func (d *directory) Prompt() string { return d.config.UsernamePrompt }

// Probe implements connector.Prober.
func (d *directory) Probe(ctx context.Context) error { return d.pool.Probe(ctx) }

// Close closes the connections; busy ones as soon as their operation is done.
func (d *directory) Close() error { return d.pool.Close() }

// maxName bounds the names that are searched for, in bytes: no directory has longer ones.
const maxName = 1024

// Login implements connector.Password.
func (d *directory) Login(
	ctx context.Context, s connector.Scopes, username, password string,
) (connector.Identity, bool, error) {
	return d.LoginFound(ctx, s, username, password, func(string) error { return nil })
}

// LoginFound implements connector.Finder. An empty password is always wrong: servers treat a bind without one as anonymous,
// and let it succeed (RFC 4513, section 5.1.2).
func (d *directory) LoginFound(
	ctx context.Context, s connector.Scopes, username, password string, found func(user string) error,
) (connector.Identity, bool, error) {
	if password == "" || username == "" || len(username) > maxName || !utf8.ValidString(username) {
		return connector.Identity{}, false, nil
	}
	ctx, cancel := d.inTime(ctx)
	defer cancel()
	user, err := d.find(ctx, username)
	if errors.Is(err, errNoUser) {
		d.log.DebugContext(ctx, "user is not in the directory", "username", username)
		return connector.Identity{}, false, d.bindNobody(ctx, password)
	}
	if err != nil {
		return connector.Identity{}, false, err
	}
	if err := found(dnKey(user.DN)); err != nil {
		return connector.Identity{}, false, err
	}
	if err := d.pool.Bind(ctx, user.DN, password); err != nil {
		d.log.DebugContext(ctx, "bind as the user fails", "username", username, "err", err)
		return refusedBind(err)
	}
	who, err := d.complete(ctx, s, user, username)
	return who, err == nil, err
}

// inTime bounds what one login or refresh may take, however many searches it needs.
func (d *directory) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := cmp.Or(d.config.LoginTimeout, defaultLoginTimeout)
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v (loginTimeout): %w", limit, context.DeadlineExceeded))
}

// bindNobody has a server check the password of an entry that does not exist, so that response times tell less about who is
// in the directory. As for a user who is in it, the error says that no server could be asked.
func (d *directory) bindNobody(ctx context.Context, password string) error {
	err := d.pool.Bind(ctx, "cn="+id.New()+","+d.config.UserSearch.BaseDN, password)
	if connector.OutcomeOf(err).RetryHelps() {
		return err
	}
	return nil
}

// refusedBind turns a failed bind into what Login returns.
func refusedBind(err error) (connector.Identity, bool, error) {
	refused, ok := errors.AsType[*pool.Refused](err)
	if !ok {
		return connector.Identity{}, false, err
	}
	sentence := refusal(refused.Reason)
	if sentence == "" {
		return connector.Identity{}, false, nil
	}
	return connector.Identity{}, false, &connector.Denied{Reason: sentence, Cause: refused}
}

// refusal returns what the user is told; nothing if it is only that the name or the password is wrong. Except for a lock,
// servers give these reasons only to a caller that knows the password. A lock is shown to everybody: otherwise the owner
// would keep trying and prolong it.
func refusal(r pool.Reason) string {
	switch r {
	case pool.AccountLocked:
		return "Your account is locked after too many wrong passwords. Wait a while, or ask your administrator."
	case pool.AccountDisabled:
		return disabledReason
	case pool.AccountExpired:
		return expiredReason
	case pool.PasswordExpired:
		return "Your password has expired. Change it, then log in again."
	case pool.MustChange:
		return "You must change your password before you can log in here."
	case pool.NotNow:
		return "Your account can't log in at this time, or from where you are. Ask your administrator."
	case pool.WrongPassword:
		return ""
	default:
		return ""
	}
}

// identify looks a user up by name alone, for callers that have authenticated them by other means. The error is errNoUser
// if nobody has the name.
func (d *directory) identify(ctx context.Context, s connector.Scopes, username string) (connector.Identity, error) {
	ctx, cancel := d.inTime(ctx)
	defer cancel()
	user, err := d.find(ctx, username)
	if err != nil {
		return connector.Identity{}, err
	}
	return d.complete(ctx, s, user, username)
}

// complete makes an identity from a user's entry, with the groups. It checks the allowed groups and the account's state:
// there may have been no bind, and a login must not accept what a refresh would refuse.
func (d *directory) complete(
	ctx context.Context, s connector.Scopes, user *goldap.Entry, username string,
) (connector.Identity, error) {
	if err := d.checkState(user); err != nil {
		return connector.Identity{}, err
	}
	who, err := d.identity(user, username)
	if err != nil {
		return connector.Identity{}, err
	}
	if who.Groups, err = d.authorize(ctx, s, user); err != nil {
		return connector.Identity{}, err
	}
	if s.OfflineAccess {
		if who.Data, err = newData(username, user.DN); err != nil {
			return connector.Identity{}, err
		}
	}
	return who, nil
}
