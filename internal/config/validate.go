package config

import "time"

// A validator checks a decoded configuration before defaults are filled in, so that it can tell what was written. On the way it
// decodes sections that need no other room.
type validator struct {
	*Checker

	cfg       *Config
	env       Environment
	listeners map[string]string // the key of the first listener with an address
	later     []func()          // what is changed in the configuration once all of it was looked at
}

func validate(cfg *Config, file Section, env Environment, given map[string]string, decoded Problems) Problems {
	v := &validator{Checker: file.Checker(), cfg: cfg, env: env, listeners: map[string]string{}}
	v.given = given
	v.markBroken(decoded)
	for _, check := range []func(){
		v.issuer, v.storage, v.web, v.grpc, v.api, v.telemetry, v.expiry, v.oauth2, v.logger, v.frontend, v.signer,
		v.audit, v.sessions, v.mfa, v.policies, v.kubernetes, v.localUsers, v.mail,
	} {
		check()
	}
	for _, change := range v.later {
		change()
	}
	return v.found
}

// positive reports a duration in the file that isn't more than zero.
func (v *validator) positive(key string, value time.Duration) {
	if value <= 0 && v.section.fills(key) {
		v.Errorf(key, "must be more than 0")
	}
}

// notNegative reports a duration below zero.
func (v *validator) notNegative(key string, value time.Duration) {
	if value < 0 {
		v.Errorf(key, "must not be negative")
	}
}
