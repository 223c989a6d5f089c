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
