-- Upstream's tables with DEX_ENT_ENABLED, as far as they are taken over.
CREATE TABLE oauth2clients (
	id $TEXT NOT NULL PRIMARY KEY, secret $TEXT NOT NULL, redirect_uris $JSON NULL, trusted_peers $JSON NULL,
	public $BOOL NOT NULL, name $TEXT NOT NULL, logo_url $TEXT NOT NULL, allowed_connectors $JSON NULL, mfa_chain $JSON NULL,
	post_logout_redirect_uris $JSON NULL, sso_shared_with $JSON NULL, backchannel_logout_uri $TEXT NULL,
	refresh_token_lifetime $TEXT NULL, client_credentials_claims $JSON NULL
);
CREATE TABLE auth_requests (id $TEXT NOT NULL PRIMARY KEY, client_id $TEXT NOT NULL, expiry $TIME NOT NULL);
CREATE TABLE refresh_tokens (
	id $TEXT NOT NULL PRIMARY KEY, client_id $TEXT NOT NULL, scopes $JSON NULL, nonce $TEXT NOT NULL,
	claims_user_id $TEXT NOT NULL, claims_username $TEXT NOT NULL, claims_email $TEXT NOT NULL,
	claims_email_verified $BOOL NOT NULL, claims_groups $JSON NULL, claims_preferred_username $TEXT NOT NULL DEFAULT '',
	connector_id $TEXT NOT NULL, connector_data $BLOB NULL, token $TEXT NOT NULL DEFAULT '',
	obsolete_token $TEXT NOT NULL DEFAULT '', created_at $TIME NOT NULL, last_used $TIME NOT NULL
);
CREATE TABLE passwords (
	id $SERIAL, email $TEXT NOT NULL UNIQUE, hash $BLOB NOT NULL, username $TEXT NOT NULL, name $TEXT NOT NULL DEFAULT '',
	preferred_username $TEXT NOT NULL DEFAULT '', email_verified $BOOL NULL, user_id $TEXT NOT NULL, "groups" $JSON NULL
);
CREATE TABLE "keys" (
	id $TEXT NOT NULL PRIMARY KEY, verification_keys $JSON NOT NULL, signing_key $JSON NOT NULL,
	signing_key_pub $JSON NOT NULL, next_rotation $TIME NOT NULL
);
CREATE TABLE offline_sessions (
	id $TEXT NOT NULL PRIMARY KEY, user_id $TEXT NOT NULL, conn_id $TEXT NOT NULL, refresh $BLOB NOT NULL,
	connector_data $BLOB NULL
);
CREATE TABLE connectors (
	id $TEXT NOT NULL PRIMARY KEY, type $TEXT NOT NULL, name $TEXT NOT NULL, resource_version $TEXT NOT NULL,
	config $BLOB NOT NULL, grant_types $JSON NULL
);
CREATE TABLE user_identities (
	id $TEXT NOT NULL PRIMARY KEY, user_id $TEXT NOT NULL, connector_id $TEXT NOT NULL, claims_user_id $TEXT NOT NULL DEFAULT '',
	claims_username $TEXT NOT NULL DEFAULT '', claims_preferred_username $TEXT NOT NULL DEFAULT '',
	claims_email $TEXT NOT NULL DEFAULT '', claims_email_verified $BOOL NOT NULL, claims_groups $JSON NULL,
	consents $BLOB NOT NULL, created_at $TIME NOT NULL, last_login $TIME NOT NULL, blocked_until $TIME NOT NULL,
	mfa_secrets $BLOB NULL, webauthn_credentials $BLOB NULL
);
CREATE TABLE auth_sessions (
	id $TEXT NOT NULL PRIMARY KEY, secret $TEXT NOT NULL, user_id $TEXT NOT NULL, connector_id $TEXT NOT NULL,
	client_states $BLOB NOT NULL, created_at $TIME NOT NULL, last_activity $TIME NOT NULL,
	ip_address $TEXT NOT NULL DEFAULT '', user_agent $TEXT NOT NULL DEFAULT '', absolute_expiry $TIME NOT NULL,
	idle_expiry $TIME NOT NULL, logout_state $BLOB NULL
);
