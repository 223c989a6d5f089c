-- Upstream's tables after the last migration of its releases 2.45. The capitalized words with a dollar sign stand for each
-- database's types.
CREATE TABLE migrations (num $INT not null, at $TIME not null);
CREATE TABLE client (
	id $TEXT not null primary key, secret $TEXT not null, redirect_uris $BLOB not null, trusted_peers $BLOB not null,
	public $BOOL not null, name $TEXT not null, logo_url $TEXT not null
);
CREATE TABLE auth_request (
	id $TEXT not null primary key, client_id $TEXT not null, response_types $BLOB not null, scopes $BLOB not null,
	redirect_uri $TEXT not null, nonce $TEXT not null, state $STATE, force_approval_prompt $BOOL not null,
	logged_in $BOOL not null, claims_user_id $TEXT not null, claims_username $TEXT not null, claims_email $TEXT not null,
	claims_email_verified $BOOL not null, claims_groups $BLOB not null, connector_id $TEXT not null, connector_data $BLOB,
	expiry $TIME not null, claims_preferred_username $TEXT not null default '', code_challenge $TEXT not null default '',
	code_challenge_method $TEXT not null default '', hmac_key $BLOB
);
CREATE TABLE auth_code (
	id $TEXT not null primary key, client_id $TEXT not null, scopes $BLOB not null, nonce $TEXT not null,
	redirect_uri $TEXT not null, claims_user_id $TEXT not null, claims_username $TEXT not null, claims_email $TEXT not null,
	claims_email_verified $BOOL not null, claims_groups $BLOB not null, connector_id $TEXT not null, connector_data $BLOB,
	expiry $TIME not null, claims_preferred_username $TEXT not null default '', code_challenge $TEXT not null default '',
	code_challenge_method $TEXT not null default ''
);
CREATE TABLE refresh_token (
	id $TEXT not null primary key, client_id $TEXT not null, scopes $BLOB not null, nonce $TEXT not null,
	claims_user_id $TEXT not null, claims_username $TEXT not null, claims_email $TEXT not null,
	claims_email_verified $BOOL not null, claims_groups $BLOB not null, connector_id $TEXT not null, connector_data $BLOB,
	token $TEXT not null default '', created_at $TIME not null default '$NEVER',
	last_used $TIME not null default '$NEVER', claims_preferred_username $TEXT not null default '',
	obsolete_token $TEXT default ''
);
CREATE TABLE password (
	email $TEXT not null primary key, hash $BLOB not null, username $TEXT not null, user_id $TEXT not null,
	preferred_username $TEXT not null default '', "groups" $BLOB not null, name $TEXT not null default '',
	email_verified $BOOL
);
CREATE TABLE "keys" (
	id $TEXT not null primary key, verification_keys $BLOB not null, signing_key $BLOB not null,
	signing_key_pub $BLOB not null, next_rotation $TIME not null
);
CREATE TABLE offline_session (
	user_id $TEXT not null, conn_id $TEXT not null, refresh $BLOB not null, connector_data $BLOB,
	PRIMARY KEY (user_id, conn_id)
);
CREATE TABLE connector (
	id $TEXT not null primary key, type $TEXT not null, name $TEXT not null, resource_version $TEXT not null, config $BLOB
);
CREATE TABLE device_request (
	user_code $TEXT not null primary key, device_code $TEXT not null, client_id $TEXT not null, client_secret $TEXT,
	scopes $BLOB not null, expiry $TIME not null
);
CREATE TABLE device_token (
	device_code $TEXT not null primary key, status $TEXT not null, token $BLOB, expiry $TIME not null,
	last_request $TIME not null, poll_interval $INT not null, code_challenge $TEXT not null default '',
	code_challenge_method $TEXT not null default ''
);
