-- What upstream's development version has added to them since.
ALTER TABLE connector ADD COLUMN grant_types $BLOB;
ALTER TABLE client ADD COLUMN allowed_connectors $BLOB;
CREATE TABLE user_identity (
	user_id $TEXT not null, connector_id $TEXT not null, claims_user_id $TEXT not null, claims_username $TEXT not null,
	claims_preferred_username $TEXT not null default '', claims_email $TEXT not null, claims_email_verified $BOOL not null,
	claims_groups $BLOB not null, consents $BLOB not null, created_at $TIME not null, last_login $TIME not null,
	blocked_until $TIME not null, mfa_secrets $BLOB, webauthn_credentials $BLOB, PRIMARY KEY (user_id, connector_id)
);
ALTER TABLE client ADD COLUMN mfa_chain $BLOB;
ALTER TABLE client ADD COLUMN post_logout_redirect_uris $BLOB;
ALTER TABLE client ADD COLUMN sso_shared_with $BLOB;
ALTER TABLE client ADD COLUMN backchannel_logout_uri $TEXT not null default '';
ALTER TABLE client ADD COLUMN refresh_token_lifetime $TEXT not null default '';
CREATE TABLE auth_session (
	id $TEXT not null primary key, secret $TEXT not null default '', user_id $TEXT not null, connector_id $TEXT not null,
	client_states $BLOB not null, created_at $TIME not null, last_activity $TIME not null,
	ip_address $TEXT not null default '', user_agent $TEXT not null default '',
	absolute_expiry $TIME not null default '1970-01-01 00:00:00', idle_expiry $TIME not null default '1970-01-01 00:00:00',
	logout_state $BLOB
);
ALTER TABLE auth_code ADD COLUMN session_id $TEXT not null default '';
