-- What upstream's development after 2.45 leaves in a SQLite database: the tables after step 23, as far as they hold
-- what is taken over.
CREATE TABLE migrations (num integer not null, at timestamp not null);
CREATE TABLE client (
	id text not null primary key, secret text not null, redirect_uris blob not null, trusted_peers blob not null,
	public integer not null, name text not null, logo_url text not null, allowed_connectors blob, mfa_chain blob,
	post_logout_redirect_uris blob, sso_shared_with blob, backchannel_logout_uri text not null default '',
	refresh_token_lifetime text not null default ''
);
CREATE TABLE auth_request (id text not null primary key, expiry timestamp not null);
CREATE TABLE refresh_token (
	id text not null primary key, client_id text not null, scopes blob not null, nonce text not null,
	claims_user_id text not null, claims_username text not null, claims_email text not null,
	claims_email_verified integer not null, claims_groups blob not null, connector_id text not null, connector_data blob,
	token text not null default '', created_at timestamp not null default '0001-01-01 00:00:00 UTC',
	last_used timestamp not null default '0001-01-01 00:00:00 UTC', claims_preferred_username text not null default '',
	obsolete_token text default ''
);
CREATE TABLE password (
	email text not null primary key, hash blob not null, username text not null, user_id text not null,
	preferred_username text not null default '', groups blob not null default '[]', name text not null default '',
	email_verified integer
);
CREATE TABLE keys (
	id text not null primary key, verification_keys blob not null, signing_key blob not null,
	signing_key_pub blob not null, next_rotation timestamp not null
);
CREATE TABLE offline_session (
	user_id text not null, conn_id text not null, refresh blob not null, connector_data blob,
	PRIMARY KEY (user_id, conn_id)
);
CREATE TABLE connector (
	id text not null primary key, type text not null, name text not null, resource_version text not null, config blob,
	grant_types blob
);
CREATE TABLE user_identity (
	user_id text not null, connector_id text not null, claims_user_id text not null, claims_username text not null,
	claims_preferred_username text not null default '', claims_email text not null, claims_email_verified integer not null,
	claims_groups blob not null, consents blob not null, created_at timestamp not null, last_login timestamp not null,
	blocked_until timestamp not null, mfa_secrets blob, webauthn_credentials blob, PRIMARY KEY (user_id, connector_id)
);
CREATE TABLE auth_session (
	id text not null primary key, secret text not null default '', user_id text not null, connector_id text not null,
	client_states blob not null, created_at timestamp not null, last_activity timestamp not null,
	ip_address text not null default '', user_agent text not null default '',
	absolute_expiry timestamp not null default '1970-01-01 00:00:00', idle_expiry timestamp not null default '1970-01-01 00:00:00',
	logout_state blob
);
INSERT INTO migrations WITH RECURSIVE n(num) AS (SELECT 1 UNION ALL SELECT num + 1 FROM n WHERE num < 23)
	SELECT num, '2026-08-06' FROM n;

INSERT INTO client VALUES
	('all', 'secret', CAST('["https://a.example/cb"]' AS BLOB), CAST('["gate"]' AS BLOB), 1, 'All', 'https://a.example/logo',
		CAST('["ldap"]' AS BLOB), CAST('["totp"]' AS BLOB), CAST('["https://a.example/bye"]' AS BLOB),
		CAST('["gate"]' AS BLOB), 'https://a.example/logout', 'session'),
	('nobody', 'secret', CAST('[]' AS BLOB), CAST('[]' AS BLOB), 0, '', '', CAST('null' AS BLOB), NULL, CAST('[]' AS BLOB),
		CAST('[]' AS BLOB), '', ''),
	('unset', 'secret', CAST('[]' AS BLOB), CAST('[]' AS BLOB), 0, '', '', NULL, NULL, NULL, CAST('null' AS BLOB), '', ''),
	('unset too', 'secret', CAST('[]' AS BLOB), CAST('[]' AS BLOB), 0, '', '', NULL, NULL, NULL, NULL, '', '');
INSERT INTO connector VALUES
	('ldap', 'ldap', 'Staff', '7', CAST('{}' AS BLOB), CAST('["authorization_code"]' AS BLOB)),
	('mock', 'mockCallback', 'Mock', '1', NULL, NULL);
INSERT INTO keys VALUES ('keys', CAST('[]' AS BLOB), CAST('{{signing_key}}' AS BLOB), CAST('null' AS BLOB),
	'0001-01-01 00:00:00+00:00');

INSERT INTO offline_session VALUES ('jane', 'ldap',
	CAST('{"all":{"ID":"token-all","ClientID":"all","CreatedAt":"2026-08-06T08:00:00Z","LastUsed":"2026-08-06T08:00:00Z","SessionID":"session-a"}}' AS BLOB),
	CAST('data of jane' AS BLOB));
INSERT INTO refresh_token VALUES
	('token-all', 'all', CAST('["openid"]' AS BLOB), '', 'jane', 'Jane', 'jane@example.com', 1, CAST('[]' AS BLOB), 'ldap', NULL,
		'secret', '2026-08-06 08:00:00+00:00', '2026-08-06 08:00:00+00:00', '', ''),
	('token-other', 'unset', CAST('["openid"]' AS BLOB), '', 'jane', 'Jane', 'jane@example.com', 1, CAST('[]' AS BLOB), 'ldap', NULL,
		'secret', '2026-08-06 08:00:00+00:00', '2026-08-06 08:00:00+00:00', '', '');
INSERT INTO user_identity VALUES
	('bob', 'mock', 'bob', 'Bob', '', 'bob@example.com', 0, CAST('null' AS BLOB), CAST('{}' AS BLOB),
		'2026-08-01 10:00:00+00:00', '2026-08-06 11:00:00+00:00', '0001-01-01 00:00:00+00:00', CAST('{}' AS BLOB), NULL),
	('jane', 'ldap', 'jane', 'Jane', 'jj', 'jane@example.com', 1, CAST('["admins"]' AS BLOB),
		CAST('{"all":["openid","profile"]}' AS BLOB), '2026-08-01 10:00:00+00:00', '2026-08-06 10:00:00+00:00',
		'2031-01-01 00:00:00+00:00',
		CAST('{"totp":{"authenticatorID":"totp","type":"TOTP","secret":"otpauth://totp/jane","confirmed":true}}' AS BLOB),
		CAST('{"key":[{"credentialID":"AQI="}]}' AS BLOB)),
	('mixed', 'ldap', 'other', 'Other', '', '', 0, CAST('[]' AS BLOB), CAST('{}' AS BLOB),
		'2026-08-01 10:00:00+00:00', '2026-08-06 10:00:00+00:00', '0001-01-01 00:00:00+00:00', NULL, NULL);
-- a: signed in for one client, before the last login in another browser. b: for none that is left. The others don't count.
INSERT INTO auth_session VALUES
	('session-a', 'secret of a', 'jane', 'ldap', CAST('{"all":{"AuthenticatedAt":"2026-08-06T08:00:00Z",
		"LastActivity":"2026-08-06T08:30:00Z","LastTokenIssuedAt":"2026-08-06T08:31:00Z","ViaSSO":false},
		"unset":{"AuthenticatedAt":"2026-08-06T09:00:00Z","LastActivity":"2026-08-06T09:00:00Z","LastTokenIssuedAt":"0001-01-01T00:00:00Z",
		"ViaSSO":true}}' AS BLOB), '2026-08-06 08:00:00+00:00', '2026-08-06 09:00:00.5+00:00', '192.0.2.1', 'Browser',
		'2031-08-06 10:00:00+00:00', '2031-08-06 09:00:00+00:00', CAST('null' AS BLOB)),
	('session-b', 'secret of b', 'bob', 'mock', CAST('{}' AS BLOB), '2026-08-06 12:00:00+00:00', '2026-08-06 12:00:00+00:00', '', '',
		'2031-08-06 10:00:00+00:00', '2031-08-06 09:00:00+00:00', NULL),
	('session-idle', 'secret', 'jane', 'ldap', CAST('{}' AS BLOB), '2026-08-06 12:00:00+00:00', '2026-08-06 12:00:00+00:00', '', '',
		'2031-08-06 10:00:00+00:00', '2026-08-06 13:00:00+00:00', NULL),
	('session-leaving', 'secret', 'jane', 'ldap', CAST('{}' AS BLOB), '2026-08-06 12:00:00+00:00', '2026-08-06 12:00:00+00:00', '', '',
		'2031-08-06 10:00:00+00:00', '2031-08-06 09:00:00+00:00', CAST('{"State":"s"}' AS BLOB)),
	('session-naked', '', 'jane', 'ldap', CAST('{}' AS BLOB), '2026-08-06 12:00:00+00:00', '2026-08-06 12:00:00+00:00', '', '',
		'2031-08-06 10:00:00+00:00', '2031-08-06 09:00:00+00:00', NULL),
	('session-over', 'secret', 'jane', 'ldap', CAST('{}' AS BLOB), '2026-08-06 12:00:00+00:00', '2026-08-06 12:00:00+00:00', '', '',
		'2026-08-07 12:00:00+00:00', '2031-08-06 09:00:00+00:00', NULL),
	('session-stranger', 'secret', 'nobody', 'ldap', CAST('{}' AS BLOB), '2026-08-06 12:00:00+00:00', '2026-08-06 12:00:00+00:00', '', '',
		'2031-08-06 10:00:00+00:00', '2031-08-06 09:00:00+00:00', NULL);
