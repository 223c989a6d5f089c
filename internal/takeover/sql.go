package takeover

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/signing"
)

// A tables is one of the two forms that upstream's tables have.
type tables struct {
	name string
	// signs are tables that hardly any other program has together.
	signs                                                    []string
	clients, connectors, passwords, offlineSessions, refresh table
	identities, sessions                                     table // of development versions
}

type table struct {
	name string
	key  []string // the columns of the primary key
}

// The native tables, and those that upstream makes with DEX_ENT_ENABLED. Their columns have the same names.
var (
	native = &tables{
		name:            "tables",
		signs:           []string{"client", "auth_request", "refresh_token"},
		clients:         table{"client", []string{"id"}},
		connectors:      table{"connector", []string{"id"}},
		passwords:       table{"password", []string{"email"}},
		offlineSessions: table{"offline_session", []string{"user_id", "conn_id"}},
		refresh:         table{"refresh_token", []string{"id"}},
		identities:      table{"user_identity", []string{"user_id", "connector_id"}},
		sessions:        table{"auth_session", []string{"id"}},
	}
	ent = &tables{
		name:            "tables of ent",
		signs:           []string{"oauth2clients", "auth_requests", "refresh_tokens"},
		clients:         table{"oauth2clients", []string{"id"}},
		connectors:      table{"connectors", []string{"id"}},
		passwords:       table{"passwords", []string{"id"}},
		offlineSessions: table{"offline_sessions", []string{"id"}},
		refresh:         table{"refresh_tokens", []string{"id"}},
		identities:      table{"user_identities", []string{"id"}},
		sessions:        table{"auth_sessions", []string{"id"}},
	}
	// keys is in both layouts, with different column types.
	keysTable  = table{"keys", []string{"id"}}
	migrations = table{"migrations", []string{"num"}}
)

// A database reads upstream's tables. Layout finds which of them exist, and must be called first.
type database struct {
	query   Query
	dialect dialect
	tables  *tables
	present map[string]bool // by name of a table
}

// A Query returns what a statement reads: the names of its columns, and its rows with values as database/sql has them. Statements
// bound how many rows there are.
type Query func(ctx context.Context, text string, args ...any) (columns []string, rows [][]any, err error)

// SQLite reads upstream's tables in a SQLite database.
func SQLite(db *sql.DB) Source { return &database{query: queryOf(db), dialect: sqliteDialect} }

// PostgreSQL reads upstream's tables in the schemas of the role's search path.
func PostgreSQL(query Query) Source { return &database{query: query, dialect: postgresDialect} }

// MySQL reads upstream's tables in the current database of MySQL or MariaDB.
func MySQL(db *sql.DB) Source { return &database{query: queryOf(db), dialect: mysqlDialect} }

func queryOf(db *sql.DB) Query {
	return func(ctx context.Context, text string, args ...any) (columns []string, found [][]any, err error) {
		rows, err := db.QueryContext(ctx, text, args...)
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = rows.Close() }() // Err reports the same
		if columns, err = rows.Columns(); err != nil {
			return nil, nil, err
		}
		for rows.Next() {
			values, targets := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				return nil, nil, err
			}
			found = append(found, values)
		}
		return columns, found, rows.Err()
	}
}

// Layout is part of Source. Both layouts at once are an error, since they share the table of keys and nothing says whose keys
// these are.
func (d *database) Layout(ctx context.Context) (string, error) {
	if err := d.lookAround(ctx); err != nil {
		return "", fmt.Errorf("look for upstream's tables: %w", err)
	}
	switch isNative, isEnt := d.has(native.signs), d.has(ent.signs); {
	case isNative && isEnt:
		return "", fmt.Errorf("the database holds upstream's tables twice, those made without DEX_ENT_ENABLED (%s) and"+
			" those made with it (%s); drop those that are not in use", native.clients.name, ent.clients.name)
	case isEnt:
		d.tables = ent
		return ent.name, nil
	case isNative:
		d.tables = native
		return d.step(ctx)
	}
	return "", nil
}

func (d *database) has(names []string) bool {
	for _, n := range names {
		if !d.present[n] {
			return false
		}
	}
	return true
}

// lookAround finds which of upstream's tables exist.
func (d *database) lookAround(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	names := []string{keysTable.name, migrations.name}
	for _, t := range []*tables{native, ent} {
		names = append(names, t.signs...)
		names = append(names, t.connectors.name, t.passwords.name, t.offlineSessions.name, t.identities.name, t.sessions.name)
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "'" + n + "'"
	}
	_, rows, err := d.query(ctx, fmt.Sprintf(d.dialect.tables, strings.Join(quoted, ", ")))
	if err != nil {
		return err
	}
	d.present = make(map[string]bool)
	for _, values := range rows {
		r := &row{values: map[string]any{"name": values[0]}}
		d.present[r.text("name")] = true
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// step returns the name of the layout with the number of upstream's last change to it.
func (d *database) step(ctx context.Context) (string, error) {
	var last any
	err := d.each(ctx, migrations, []string{"num"}, nil, func(r *row) error {
		last = r.values["num"]
		return nil
	})
	if err != nil || last == nil {
		return native.name, err
	}
	return fmt.Sprintf("%s after step %v", native.name, last), nil
}

// Keys is part of Source.
func (d *database) Keys(ctx context.Context) (keys *signing.Keyset, err error) {
	columns := []string{"signing_key", "verification_keys", "next_rotation"}
	err = d.each(ctx, keysTable, columns, nil, func(r *row) error {
		if r.text("id") != "keys" {
			return nil
		}
		keys, err = readKeys(r)
		return err
	})
	return keys, err
}

// Clients is part of Source.
func (d *database) Clients(ctx context.Context, after string, each func(Item[client.Client]) error) error {
	return eachItem(ctx, d, d.tables.clients, after, []string{
		"secret", "redirect_uris", "trusted_peers", "public", "name", "logo_url", "allowed_connectors", "mfa_chain",
		"post_logout_redirect_uris", "sso_shared_with", "backchannel_logout_uri", "refresh_token_lifetime",
		"client_credentials_claims",
	}, readClient, each)
}

// Connectors is part of Source.
func (d *database) Connectors(ctx context.Context, after string, each func(Item[federation.Definition]) error) error {
	return eachItem(ctx, d, d.tables.connectors, after, []string{"type", "name", "config", "grant_types"},
		func(r *row) federation.Definition {
			return federation.Definition{
				ID: r.text("id"), Type: r.text("type"), Name: r.text("name"), Settings: r.bytes("config"),
				GrantTypes: r.list("grant_types"),
			}
		}, each)
}

// Passwords is part of Source.
func (d *database) Passwords(ctx context.Context, after string, each func(Item[local.User]) error) error {
	return eachItem(ctx, d, d.tables.passwords, after, []string{
		"email", "hash", "username", "name", "preferred_username", "email_verified", "user_id", "groups",
	}, func(r *row) local.User {
		return local.User{
			Email: r.text("email"), Hash: r.bytes("hash"), Username: r.text("username"), Name: r.text("name"),
			PreferredUsername: r.text("preferred_username"), EmailVerified: r.flag("email_verified"),
			UserID: r.text("user_id"), Groups: r.list("groups"),
		}
	}, each)
}

// OfflineSessions is part of Source.
func (d *database) OfflineSessions(ctx context.Context, after string, each func(Item[OfflineSession]) error) error {
	return eachItem(ctx, d, d.tables.offlineSessions, after, []string{"user_id", "conn_id", "connector_data", "refresh"},
		func(r *row) OfflineSession {
			s := OfflineSession{UserID: r.text("user_id"), ConnectorID: r.text("conn_id"), Data: r.bytes("connector_data")}
			var tokens references
			r.decode("refresh", &tokens)
			s.Origins = tokens.origins()
			return s
		}, each)
}

// RefreshTokens is part of Source.
func (d *database) RefreshTokens(ctx context.Context, after string, each func(Item[RefreshToken]) error) error {
	return eachItem(ctx, d, d.tables.refresh, after, []string{
		"token", "obsolete_token", "created_at", "last_used", "client_id", "connector_id", "nonce", "scopes",
		"claims_user_id", "claims_username", "claims_preferred_username", "claims_email", "claims_email_verified",
		"claims_groups", "connector_data",
	}, readRefreshToken, each)
}

// Identities is part of Source.
func (d *database) Identities(ctx context.Context, after string, each func(Item[identity.Legacy]) error) error {
	return eachItem(ctx, d, d.tables.identities, after, []string{
		"user_id", "connector_id", "claims_user_id", "claims_username", "claims_preferred_username", "claims_email",
		"claims_email_verified", "claims_groups", "consents", "created_at", "last_login", "blocked_until", "mfa_secrets",
		"webauthn_credentials",
	}, readIdentity, each)
}

// Sessions is part of Source. Before upstream's step 23 the table had another key; upstream drops those sessions too.
func (d *database) Sessions(ctx context.Context, after string, each func(Item[session.Legacy]) error) error {
	if keyed, err := d.hasKey(ctx, d.tables.sessions); err != nil || !keyed {
		return err
	}
	return eachItem(ctx, d, d.tables.sessions, after, []string{
		"secret", "user_id", "connector_id", "client_states", "created_at", "last_activity", "ip_address", "user_agent",
		"absolute_expiry", "idle_expiry", "logout_state",
	}, readSession, each)
}

func readClient(r *row) client.Client {
	c := client.Client{
		ID: r.text("id"), Secret: r.text("secret"), RedirectURIs: r.list("redirect_uris"),
		TrustedPeers: r.list("trusted_peers"), Name: r.text("name"), LogoURL: r.text("logo_url"),
		AllowedConnectors: r.list("allowed_connectors"), MFAChain: r.list("mfa_chain"),
		PostLogoutRedirectURIs: r.list("post_logout_redirect_uris"), SSOSharedWith: r.list("sso_shared_with"),
		BackchannelLogoutURI: r.text("backchannel_logout_uri"), RefreshTokenLifetime: r.text("refresh_token_lifetime"),
	}
	public := r.flag("public")
	c.Public = public != nil && *public
	r.decode("client_credentials_claims", &c.ClientCredentialsClaims)
	return c
}

func readRefreshToken(r *row) RefreshToken {
	return RefreshToken{
		Legacy: refresh.Legacy{
			ID: r.text("id"), Token: r.text("token"), ObsoleteToken: r.text("obsolete_token"),
			CreatedAt: r.time("created_at"), LastUsed: r.time("last_used"),
			ClientID: r.text("client_id"), ConnectorID: r.text("connector_id"), Nonce: r.text("nonce"),
			Scopes: r.list("scopes"), Identity: readClaims(r),
		},
		Data: r.bytes("connector_data"),
	}
}

func readIdentity(r *row) identity.Legacy {
	l := identity.Legacy{
		UserID: r.text("user_id"), ConnectorID: r.text("connector_id"), Claims: readClaims(r),
		CreatedAt: r.time("created_at"), LastLogin: r.time("last_login"), BlockedUntil: r.time("blocked_until"),
	}
	r.decode("consents", &l.Consents)
	r.decode("mfa_secrets", &l.Factors.MFASecrets)
	r.decode("webauthn_credentials", &l.Factors.WebAuthnCredentials)
	return l
}

func readSession(r *row) session.Legacy {
	l := session.Legacy{
		ID: r.text("id"), Secret: r.text("secret"), UserID: r.text("user_id"), ConnectorID: r.text("connector_id"),
		CreatedAt: r.time("created_at"), LastActivity: r.time("last_activity"),
		AbsoluteExpiry: r.time("absolute_expiry"), IdleExpiry: r.time("idle_expiry"),
		Address: r.text("ip_address"), UserAgent: r.text("user_agent"),
	}
	r.decode("client_states", &l.Clients)
	var logout *struct{}
	r.decode("logout_state", &logout)
	l.LoggingOut = logout != nil
	return l
}

func readClaims(r *row) connector.Identity {
	verified := r.flag("claims_email_verified")
	return connector.Identity{
		UserID: r.text("claims_user_id"), Username: r.text("claims_username"),
		PreferredUsername: r.text("claims_preferred_username"), Email: r.text("claims_email"),
		EmailVerified: verified != nil && *verified, Groups: r.list("claims_groups"),
	}
}

func readKeys(r *row) (*signing.Keyset, error) {
	k := storedKeys{NextRotation: r.time("next_rotation")}
	r.decode("signing_key", &k.SigningKey)
	r.decode("verification_keys", &k.VerificationKeys)
	if r.err != nil {
		return nil, r.err
	}
	return k.keyset(time.Now())
}
