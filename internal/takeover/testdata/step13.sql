-- What releases 2.45 of upstream leave in a SQLite database: the tables after step 13.
CREATE TABLE migrations (num integer not null, at timestamp not null);
CREATE TABLE client (
	id text not null primary key, secret text not null, redirect_uris blob not null, trusted_peers blob not null,
	public integer not null, name text not null, logo_url text not null
);
CREATE TABLE auth_request (
	id text not null primary key, client_id text not null, response_types blob not null, scopes blob not null,
	redirect_uri text not null, nonce text not null, state text not null, force_approval_prompt integer not null,
	logged_in integer not null, claims_user_id text not null, claims_username text not null, claims_email text not null,
	claims_email_verified integer not null, claims_groups blob not null, connector_id text not null, connector_data blob,
	expiry timestamp not null, claims_preferred_username text not null default '', code_challenge text not null default '',
	code_challenge_method text not null default '', hmac_key blob
);
CREATE TABLE auth_code (
	id text not null primary key, client_id text not null, scopes blob not null, nonce text not null,
	redirect_uri text not null, claims_user_id text not null, claims_username text not null, claims_email text not null,
	claims_email_verified integer not null, claims_groups blob not null, connector_id text not null, connector_data blob,
	expiry timestamp not null, claims_preferred_username text not null default '', code_challenge text not null default '',
	code_challenge_method text not null default ''
);
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
	id text not null primary key, type text not null, name text not null, resource_version text not null, config blob
);
CREATE TABLE device_request (
	user_code text not null primary key, device_code text not null, client_id text not null, client_secret text,
	scopes blob not null, expiry timestamp not null
);
CREATE TABLE device_token (
	device_code text not null primary key, status text not null, token blob, expiry timestamp not null,
	last_request timestamp not null, poll_interval integer not null, code_challenge text not null default '',
	code_challenge_method text not null default ''
);
INSERT INTO migrations VALUES
	(1, '2019-05-14'), (2, '2019-05-14'), (3, '2019-05-14'), (4, '2019-05-14'), (5, '2020-02-01'), (6, '2020-02-01'),
	(7, '2021-02-01'), (8, '2021-02-01'), (9, '2021-05-01'), (10, '2022-10-01'), (11, '2022-10-01'), (12, '2026-03-04'),
	(13, '2026-03-04');

INSERT INTO client VALUES
	('gate', 'gate-secret', CAST('["https://gate.example/cb","http://127.0.0.1:5555/cb"]' AS BLOB),
		CAST('["tool"]' AS BLOB), 0, 'Gate', 'https://gate.example/logo.png'),
	('Gate', 'another secret', '["https://other.example/cb"]', 'null', 0, 'Differs in case', ''),
	('tool', '', CAST('null' AS BLOB), CAST('[]' AS BLOB), 1, 'Tool', ''),
	('broken', 'x', CAST('["https://broken.example' AS BLOB), CAST('[]' AS BLOB), 0, 'Broken', '');
INSERT INTO password VALUES
	('jane@example.com', CAST('$2a$10$jane' AS BLOB), 'jane', 'user-1', 'jj', CAST('["admins","dev"]' AS BLOB), 'Jane Doe', 0),
	('verified@example.com', CAST('$2a$10$verified' AS BLOB), 'verified', 'user-2', '', CAST('null' AS BLOB), '', 1);
-- A row from before step 12, whose groups are the default of the column: text.
INSERT INTO password (email, hash, username, user_id) VALUES
	('old@example.com', CAST('$2a$10$old' AS BLOB), 'old', 'user-3');
INSERT INTO connector VALUES
	('ldap', 'ldap', 'Staff', '7', CAST('{"host":"ldap.example:636"}' AS BLOB)),
	('mock', 'mockCallback', 'Mock', '1', NULL);
INSERT INTO keys VALUES ('keys', CAST('{{verification_keys}}' AS BLOB), CAST('{{signing_key}}' AS BLOB),
	CAST('null' AS BLOB), '2031-08-06 10:00:00.123456789+00:00');
INSERT INTO offline_session VALUES
	('Abc', 'ldap', CAST('{"gate":{"ID":"token-a","ClientID":"gate","CreatedAt":"2026-08-01T10:00:00Z","LastUsed":"2026-08-06T10:00:00Z"},"tool":{"ID":"token-b","ClientID":"tool","CreatedAt":"2026-08-01T10:00:00Z","LastUsed":"2026-08-06T10:00:00Z"}}' AS BLOB),
		CAST('data of Abc' AS BLOB)),
	('abc', 'ldap', CAST('{}' AS BLOB), CAST('data of abc' AS BLOB)),
	('abc', 'mock', CAST('null' AS BLOB), NULL),
	('late', 'ldap', CAST('{}' AS BLOB), NULL);
INSERT INTO refresh_token VALUES
	('token-a', 'gate', CAST('["openid","offline_access"]' AS BLOB), 'nonce-a', 'Abc', 'Abc Name', 'abc@example.com', 1,
		CAST('["admins"]' AS BLOB), 'ldap', CAST('stale data of Abc' AS BLOB), 'secret-a',
		'2026-08-01 10:00:00+00:00', '2026-08-06 10:00:00.12+00:00', 'abc-preferred', 'before-a'),
	('token-b', 'tool', CAST('["openid"]' AS BLOB), '', 'Abc', 'Abc Name', 'abc@example.com', 0, CAST('null' AS BLOB),
		'ldap', NULL, 'secret-b', '2026-08-01T10:00:00Z', '2026-08-06 10:00', '', NULL),
	-- The user's offline session has nothing for the connector, the token has.
	('token-c', 'gate', '["openid"]', '', 'late', 'Late', 'late@example.com', 1, '[]', 'ldap',
		CAST('data of late' AS BLOB), 'secret-c', '2026-08-01', '2026-08-06 12:00:00.5+02:00', '', ''),
	-- No offline session refers to it, and neither its client nor its connector is there any more.
	('token-d', 'gone', CAST('["openid"]' AS BLOB), '', 'orphan', '', '', 0, CAST('[]' AS BLOB), 'gone', NULL, 'secret-d',
		'2026-08-01 10:00:00', '2026-08-06 10:00Z', '', ''),
	('token-e', 'gate', CAST('{"not":"a list"}' AS BLOB), '', 'x', '', '', 0, CAST('[]' AS BLOB), 'ldap', NULL, 'secret-e',
		'2026-08-01 10:00:00', '2026-08-06 10:00:00', '', '');
-- A row from before step 2.
INSERT INTO refresh_token (id, client_id, scopes, nonce, claims_user_id, claims_username, claims_email,
		claims_email_verified, claims_groups, connector_id)
	VALUES ('token-f', 'gate', CAST('["openid"]' AS BLOB), '', 'ancient', '', '', 1, CAST('[]' AS BLOB), 'ldap');
INSERT INTO auth_code (id, client_id, scopes, nonce, redirect_uri, claims_user_id, claims_username, claims_email,
		claims_email_verified, claims_groups, connector_id, expiry)
	VALUES ('code', 'gate', CAST('[]' AS BLOB), '', '', 'Abc', '', '', 1, CAST('[]' AS BLOB), 'ldap', '2026-08-06 10:00:00+00:00');
