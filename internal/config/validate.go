package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A validator checks a decoded configuration before its defaults are filled in, so that it can tell what was written.
// On the way it replaces references to variables by their values and decodes what only needs the file.
type validator struct {
	cfg   *Config
	file  Section
	env   Environment
	given map[string]string // keys that the command line replaced, with the flag that did

	broken    map[string]bool   // keys whose value could not be decoded
	listeners map[string]string // addresses, with the key of the first listener that has it
	found     Problems
}

func validate(cfg *Config, file Section, env Environment, given map[string]string, decoded Problems) Problems {
	v := &validator{
		cfg: cfg, file: file, env: env, given: given, broken: map[string]bool{}, listeners: map[string]string{},
	}
	v.markBroken(decoded)
	for _, check := range []func(){
		v.issuer, v.storage, v.web, v.grpc, v.telemetry, v.expiry, v.oauth2, v.logger, v.frontend, v.signer,
		v.connectors, v.staticClients, v.staticPasswords, v.sessions, v.mfa,
	} {
		check()
	}
	return v.found
}

// decode fills dst from a section of the file that needs nobody else.
func (v *validator) decode(s Section, dst any) {
	found := s.Decode(dst)
	v.markBroken(found)
	v.found = append(v.found, found...)
}

func (v *validator) markBroken(decoded Problems) {
	for _, p := range decoded {
		if !p.Warning {
			v.broken[p.Key] = true
		}
	}
}

func (v *validator) errorf(key, format string, args ...any) { v.report(false, key, format, args...) }

func (v *validator) warnf(key, format string, args ...any) { v.report(true, key, format, args...) }

// overrides reports something in the file that takes the place of what stands further up, at another key. That has always
// been the rule, and tools write such files.
func (v *validator) overrides(key, other, format string, args ...any) {
	v.withConsequence(fmt.Sprintf("this one is used, and %s on line %d is not", other, v.file.line(other)),
		func() { v.warnf(key, format, args...) })
}

// withConsequence gives what is reported meanwhile a consequence.
func (v *validator) withConsequence(consequence string, report func()) {
	before := len(v.found)
	report()
	for i := range v.found[before:] {
		v.found[before+i].Consequence = consequence
	}
}

// report adds a problem, unless the setting has one already: what could not be decoded looks as if it were absent.
func (v *validator) report(warning bool, key, format string, args ...any) {
	if v.isBroken(key) {
		return
	}
	p := v.file.Problem(key, format, args...)
	if flag, ok := v.given[key]; ok {
		p = Problem{File: onCommandLine, Key: flag, Message: p.Message}
	}
	p.Warning = warning
	v.found = append(v.found, p)
}

// isBroken reports whether a setting or one that it is part of could not be decoded.
func (v *validator) isBroken(key string) bool {
	for ; key != ""; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
		if v.broken[key] {
			return true
		}
	}
	return v.broken[""]
}

// required reports an absent or empty text.
func (v *validator) required(key, value, what string) bool {
	if value == "" {
		v.errorf(key, "is required: %s", what)
	}
	return value != ""
}

// oneOf reports a value that isn't among the allowed ones.
func (v *validator) oneOf(key, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	// Few names are quicker read than guessed at, and lists of words are not told apart by letters.
	if name, ok := nearest(value, allowed); ok && len(allowed) > 3 && !strings.Contains(value, " ") {
		v.errorf(key, "%q is not allowed; did you mean %q?", value, name)
	} else {
		v.errorf(key, "%q is not allowed; allowed are %s", value, list(allowed))
	}
}

// optionalOf is oneOf for a setting that may be empty.
func (v *validator) optionalOf(key, value string, allowed []string) {
	if value != "" {
		v.oneOf(key, value, allowed)
	}
}

// eachOf is oneOf for the items of a list.
func (v *validator) eachOf(key string, values, allowed []string) {
	for i, value := range values {
		v.oneOf(item(key, i), value, allowed)
	}
}

// positive reports a duration that is written and isn't more than zero.
func (v *validator) positive(key string, value time.Duration) {
	if value <= 0 && v.file.fills(key) {
		v.errorf(key, "must be more than 0")
	}
}

// notNegative reports a duration below zero.
func (v *validator) notNegative(key string, value time.Duration) {
	if value < 0 {
		v.errorf(key, "must not be negative")
	}
}

func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// list quotes names for a message.
func list(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}
