package audit

// A Type is what a record is about.
type Type string

// The types of records.
const (
	LoginSucceeded     Type = "login.succeeded"      // somebody has proved who they are
	LoginBySession     Type = "login.by_session"     // somebody had a session, and needed not prove it again
	LoginRefused       Type = "login.refused"        // a login has ended with an error
	LoginGranted       Type = "login.granted"        // an application, or a device, gets what it has asked for
	LoginPasswordWrong Type = "login.password_wrong" // of a password form, or of the password grant
	LoginEnded         Type = "login.ended"          // all tokens of a login are refused from now on

	CodeReplayed Type = "code.replayed"

	TokenIssued  Type = "token.issued"
	TokenRefused Type = "token.refused"
	TokenRevoked Type = "token.revoked"
	TokenForeign Type = "token.foreign" // a client asked about another one's token, or tried to revoke it

	RefreshReused  Type = "refresh.reused"
	RefreshExpired Type = "refresh.expired"

	DeviceRefused        Type = "device.refused" // the request of a device
	IntrospectionRefused Type = "introspection.refused"
	RevocationRefused    Type = "revocation.refused"
	UserInfoRefused      Type = "userinfo.refused"

	ClientRefused      Type = "client.refused"         // it did not authenticate
	ClientUnknown      Type = "client.unknown"         // nobody has registered it
	ClientRedirect     Type = "client.redirect_wrong"  // the address is not registered for it
	ClientOldSecret    Type = "client.previous_secret" // it authenticated with its previous secret
	SessionEnded       Type = "session.ended"
	LogoutRefused      Type = "logout.refused"
	LogoutTokenSent    Type = "logout_token.sent"     //nolint:gosec // a word, and no token
	LogoutTokenGivenUp Type = "logout_token.given_up" //nolint:gosec // as before

	FactorEnrolled      Type = "factor.enrolled"
	FactorRemoved       Type = "factor.removed"
	FactorPassed        Type = "factor.passed"
	FactorRefused       Type = "factor.refused"
	FactorLocked        Type = "factor.locked"
	FactorUnlocked      Type = "factor.unlocked"
	FactorReset         Type = "factor.reset"
	FactorRecoveryMade  Type = "factor.recovery_codes_made"
	FactorRecoveryUsed  Type = "factor.recovery_code_used"
	PasswordChanged     Type = "password.changed"
	PasswordResetAsked  Type = "password.reset_asked"
	UserInvited         Type = "user.invited"
	UserEmailVerified   Type = "user.email_verified"
	AccountChanged      Type = "account.changed"
	SelfServiceRefused  Type = "selfservice.refused"
	MailSent            Type = "mail.sent"
	MailGivenUp         Type = "mail.given_up"
	AdminChanged        Type = "admin.changed"
	AdminCall           Type = "admin.call"
	ConfigurationInUse  Type = "configuration.applied"
	KeysRotated         Type = "keys.rotated"
	ConnectorFailed     Type = "connector.failed"
	ConnectorRecovered  Type = "connector.recovered"
	AllConnectorsFailed Type = "connector.all_failed"

	AuditStarted Type = "audit.started" // the first record of a stream
	AuditStopped Type = "audit.stopped" // the last one
	AuditLost    Type = "audit.lost"    // records are missing here
)

// An Outcome is whether what somebody wanted has happened.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
)

// A Reason is why something has failed or ended. Reasons are ours: they stay the same whatever library or source was involved. A
// record may also have one of the error codes of OAuth that applications are told, a "source_" with one of the outcomes of
// attempts at a connector, or a "policy_" with a rule of the policy.
type Reason string

// The reasons.
const (
	ReasonPasswordWrong Reason = "password_wrong"
	ReasonTooMany       Reason = "too_many_attempts"
	ReasonBadRequest    Reason = "bad_request"
	ReasonForbidden     Reason = "forbidden"
	ReasonNotFound      Reason = "not_found"
	ReasonTooLarge      Reason = "too_large"
	ReasonUnavailable   Reason = "unavailable"
	ReasonOurs          Reason = "server_error"
	ReasonOther         Reason = "refused"

	ReasonUnknownClient Reason = "unknown_client"
	ReasonRedirect      Reason = "unregistered_redirect"
	ReasonSecretWrong   Reason = "secret_wrong"
	ReasonSecretMissing Reason = "secret_missing"
	ReasonNoSecret      Reason = "no_secret_stored"
	ReasonToken         Reason = "invalid_token"
	ReasonOtherClient   Reason = "other_client"

	ReasonCodeReplayed  Reason = "code_replayed"
	ReasonRefreshReused Reason = "refresh_reused"
	ReasonExpired       Reason = "expired"
	ReasonRevoked       Reason = "revoked"

	ReasonSignedOut       Reason = "signed_out"
	ReasonReplaced        Reason = "replaced"
	ReasonByOperator      Reason = "ended_by_operator"
	ReasonAtSource        Reason = "ended_at_source"
	ReasonPasswordChanged Reason = "password_changed"
	ReasonSourceRefused   Reason = "refused_by_source"

	ReasonCodeWrong    Reason = "code_wrong"
	ReasonReplayed     Reason = "replayed"
	ReasonLocked       Reason = "locked"
	ReasonCloned       Reason = "cloned"
	ReasonCeremony     Reason = "ceremony_invalid"
	ReasonUnknownUser  Reason = "unknown_address"
	ReasonBlocked      Reason = "blocked"
	ReasonConfigured   Reason = "user_in_configuration"
	ReasonNoMail       Reason = "no_email_address"
	ReasonNotDelivered Reason = "not_delivered"

	ReasonDenied        Reason = "denied"
	ReasonCallFailed    Reason = "call_failed"
	ReasonNotOpened     Reason = "not_opened"
	ReasonNotAnswering  Reason = "not_working"
	ReasonAuditQueue    Reason = "queue_full"
	ReasonAuditDeclined Reason = "refused_by_output"
)
