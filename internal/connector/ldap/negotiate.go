package ldap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/kerberos"
)

// defaultSkew is how far a browser's clock may be off.
const defaultSkew = 5 * time.Minute

// UnmarshalConfig implements config.Unmarshaler.
func (k *KerberosConfig) UnmarshalConfig(s config.Section) config.Problems {
	type plain KerberosConfig
	check := settings.Decode(s, (*plain)(k))
	if !k.Enabled {
		return check.Problems()
	}
	check.Required("keytabPath", k.KeytabPath == "", "is missing: the keytab with the keys of HTTP/<host of Dex>")
	if k.ExpectedRealm == "" && !k.wholePrincipal() {
		check.Warn("expectedRealm", "is missing: users of every realm that the KDC trusts sign in as the users of the same name here")
	}
	if k.UsernameFromPrincipal != "" && !k.wholePrincipal() && !strings.EqualFold(k.UsernameFromPrincipal, "localpart") &&
		!strings.EqualFold(k.UsernameFromPrincipal, "sAMAccountName") {
		check.Warn("usernameFromPrincipal", "is treated as localpart; it must be localpart, sAMAccountName or userPrincipalName")
	}
	return check.Problems()
}

// wholePrincipal reports whether users are searched for with their realm.
func (k *KerberosConfig) wholePrincipal() bool {
	return strings.EqualFold(k.UsernameFromPrincipal, "userPrincipalName")
}

// negotiating is a directory that accepts tickets too.
type negotiating struct {
	*directory
	acceptor *kerberos.Acceptor
}

var _ connector.Negotiator = (*negotiating)(nil)

// withTickets returns the connector with Kerberos, if that is enabled. With fallbackToPassword, a keytab that can't be read
// leaves the password form.
func (d *directory) withTickets(ctx context.Context, env connector.Env) (any, error) {
	k := &d.config.Kerberos
	if !k.Enabled {
		return d, nil
	}
	principal, skew := k.KeytabPrincipal, time.Duration(k.MaxClockSkew)*time.Second
	if principal == "" {
		principal = k.SPN
	}
	if skew <= 0 {
		skew = defaultSkew
	}
	acceptor, err := kerberos.Open(kerberos.Settings{
		Keytab: k.KeytabPath, Principal: principal, Skew: skew, Log: env.Log,
		Once: func(ctx context.Context, key string, until time.Time) (bool, error) {
			return env.Once(ctx, "ticket "+key, until)
		},
	})
	switch {
	case err == nil:
		return &negotiating{directory: d, acceptor: acceptor}, nil
	case k.FallbackToPassword:
		d.log.ErrorContext(ctx, "Kerberos is off: only passwords are accepted", "err", err)
		return d, nil
	}
	return nil, errors.Join(fmt.Errorf("kerberos: %w", err), d.Close())
}

// Negotiate implements connector.Negotiator.
func (n *negotiating) Negotiate(ctx context.Context, s connector.Scopes, r *http.Request) connector.Negotiation {
	k := &n.config.Kerberos
	none := connector.Negotiation{Challenge: kerberos.Challenge, Form: k.FallbackToPassword}
	var from netip.Addr
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from = peer.Addr()
	}
	ticket, err := n.acceptor.Accept(ctx, r.Header.Get("Authorization"), from)
	refused, isRefused := errors.AsType[*kerberos.RefusedError](err)
	switch {
	case errors.Is(err, kerberos.ErrNoTicket):
		return none
	case isRefused:
		n.log.InfoContext(ctx, "Kerberos ticket is refused", "err", err)
		none.Challenge = refused.Answer
		return none
	case err != nil:
		return connector.Negotiation{Form: k.FallbackToPassword, Err: err}
	case k.ExpectedRealm != "" && !strings.EqualFold(ticket.Realm, k.ExpectedRealm):
		n.log.InfoContext(ctx, "Kerberos ticket is refused: it is from another realm", "realm", ticket.Realm)
		return none
	}
	return n.holder(ctx, s, ticket)
}

// holder looks up who holds a ticket.
func (n *negotiating) holder(ctx context.Context, s connector.Scopes, ticket kerberos.Ticket) connector.Negotiation {
	k := &n.config.Kerberos
	name := ticket.Name
	if k.wholePrincipal() {
		name += "@" + ticket.Realm
	}
	id, err := n.identify(ctx, s, name)
	switch {
	case err == nil:
		return connector.Negotiation{Identity: &id}
	case errors.Is(err, errNoUser) && k.FallbackToPassword: // who may have an account under another name
		n.log.InfoContext(ctx, "the holder of a Kerberos ticket is not in the directory")
		return connector.Negotiation{Form: true}
	case errors.Is(err, errNoUser):
		err = &connector.Denied{Reason: "Your Kerberos ticket is valid, but you have no account here.", Cause: err}
	}
	return connector.Negotiation{Form: k.FallbackToPassword, Err: err}
}
