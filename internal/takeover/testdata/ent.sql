-- What upstream leaves in a SQLite database where DEX_ENT_ENABLED is set, as far as it is taken over.
CREATE TABLE oauth2clients (
	id text NOT NULL PRIMARY KEY, secret text NOT NULL, redirect_uris json NULL, trusted_peers json NULL,
	public bool NOT NULL, name text NOT NULL, logo_url text NOT NULL, allowed_connectors json NULL, mfa_chain json NULL,
	post_logout_redirect_uris json NULL, sso_shared_with json NULL, backchannel_logout_uri text NULL,
	refresh_token_lifetime text NULL, client_credentials_claims json NULL
);
CREATE TABLE auth_requests (id text NOT NULL PRIMARY KEY, expiry datetime NOT NULL);
CREATE TABLE refresh_tokens (
	id text NOT NULL PRIMARY KEY, client_id text NOT NULL, scopes json NULL, nonce text NOT NULL,
	claims_user_id text NOT NULL, claims_username text NOT NULL, claims_email text NOT NULL,
	claims_email_verified bool NOT NULL, claims_groups json NULL, claims_preferred_username text NOT NULL DEFAULT '',
	connector_id text NOT NULL, connector_data blob NULL, token text NOT NULL DEFAULT '',
	obsolete_token text NOT NULL DEFAULT '', created_at datetime NOT NULL, last_used datetime NOT NULL
);
CREATE TABLE passwords (
	id integer NOT NULL PRIMARY KEY AUTOINCREMENT, email text NOT NULL, hash blob NOT NULL, username text NOT NULL,
	name text NOT NULL DEFAULT '', preferred_username text NOT NULL DEFAULT '', email_verified bool NULL,
	user_id text NOT NULL, groups json NULL
);
CREATE UNIQUE INDEX passwords_email_key ON passwords (email);
CREATE TABLE keys (
	id text NOT NULL PRIMARY KEY, verification_keys json NOT NULL, signing_key json NOT NULL, signing_key_pub json NOT NULL,
	next_rotation datetime NOT NULL
);
CREATE TABLE offline_sessions (
	id text NOT NULL PRIMARY KEY, user_id text NOT NULL, conn_id text NOT NULL, refresh blob NOT NULL, connector_data blob NULL
);
CREATE TABLE connectors (
	id text NOT NULL PRIMARY KEY, type text NOT NULL, name text NOT NULL, resource_version text NOT NULL, config blob NOT NULL,
	grant_types json NULL
);
CREATE TABLE user_identities (
	id text NOT NULL PRIMARY KEY, user_id text NOT NULL, connector_id text NOT NULL, claims_user_id text NOT NULL DEFAULT '',
	claims_username text NOT NULL DEFAULT '', claims_preferred_username text NOT NULL DEFAULT '',
	claims_email text NOT NULL DEFAULT '', claims_email_verified bool NOT NULL DEFAULT false, claims_groups json NULL,
	consents blob NOT NULL, created_at datetime NOT NULL, last_login datetime NOT NULL, blocked_until datetime NOT NULL,
	mfa_secrets blob NULL, webauthn_credentials blob NULL
);
CREATE TABLE auth_sessions (
	id text NOT NULL PRIMARY KEY, secret text NOT NULL, user_id text NOT NULL, connector_id text NOT NULL,
	client_states blob NOT NULL, created_at datetime NOT NULL, last_activity datetime NOT NULL,
	ip_address text NOT NULL DEFAULT '', user_agent text NOT NULL DEFAULT '', absolute_expiry datetime NOT NULL,
	idle_expiry datetime NOT NULL, logout_state blob NULL
);

INSERT INTO oauth2clients VALUES
	('gate', 'gate-secret', '["https://gate.example/cb"]', NULL, false, 'Gate', 'https://gate.example/logo.png', NULL, NULL,
		NULL, '[]', NULL, NULL, '{"groups":["robots"]}');
-- Nobody could sign in by the first: it is looked for in lower case.
INSERT INTO passwords (email, hash, username, user_id, groups) VALUES
	('Jane@Example.com', CAST('$2a$10$unreachable' AS BLOB), 'jane', 'user-0', NULL),
	('jane@example.com', CAST('$2a$10$jane' AS BLOB), 'jane', 'user-1', '["admins"]'),
	('Mixed@Example.com', CAST('$2a$10$mixed' AS BLOB), 'mixed', 'user-2', NULL);
INSERT INTO keys VALUES ('keys', '[]', '{{signing_key}}', 'null', '2031-08-06 10:00:00+00:00');
INSERT INTO offline_sessions VALUES
	('dbdbc8ce6333f81b460c72bf6fdc4e3c37903773aab075474eaa21bf7b7ce595', 'u', 'c', CAST('{}' AS BLOB), CAST('data of u' AS BLOB));
INSERT INTO connectors VALUES ('c', 'mockCallback', 'C', '1', CAST('{}' AS BLOB), '["authorization_code"]');
INSERT INTO refresh_tokens VALUES
	('token-u', 'gate', '["openid"]', 'n', 'u', 'U', 'u@example.com', true, '["admins"]', 'uu', 'c', NULL, 'secret-u', '',
		'2026-08-01 10:00:00+00:00', '2026-08-06 10:00:00+00:00');

INSERT INTO user_identities VALUES
	('dbdbc8ce6333f81b460c72bf6fdc4e3c37903773aab075474eaa21bf7b7ce595', 'u', 'c', 'u', 'U', 'uu', 'u@example.com', true, '["admins"]',
		CAST('{"gate":["openid","email"]}' AS BLOB), '2026-08-01 10:00:00+00:00', '2026-08-06 10:00:00+00:00',
		'0001-01-01 00:00:00+00:00', NULL, NULL);
INSERT INTO auth_sessions VALUES
	('session-u', 'secret of u', 'u', 'c', CAST('{"gate":{"AuthenticatedAt":"2026-08-06T10:00:00Z",
		"LastActivity":"2026-08-06T10:30:00Z","LastTokenIssuedAt":"0001-01-01T00:00:00Z","ViaSSO":false}}' AS BLOB),
		'2026-08-06 10:00:00+00:00', '2026-08-06 10:30:00+00:00', '192.0.2.2', 'Browser', '2031-08-06 10:00:00+00:00',
		'2031-08-06 09:00:00+00:00', NULL);
