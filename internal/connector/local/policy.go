package local

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"dex/internal/config"
)

// A Policy is what passwords that people choose must be like. The zero Policy has no rules.
type Policy struct {
	minLength int // in characters
	maxBytes  int // 0 means any number
	breached  breachedList
}

// A breachedList knows passwords that were published.
type breachedList interface {
	has(password string) (bool, error)
}

// Unfit says why somebody can't have a password.
type Unfit struct {
	Reason string // a sentence for that person
}

func (e *Unfit) Error() string { return e.Reason }

// ReadPolicy returns the policy of a configuration, and what is wrong with its list of breached passwords.
func ReadPolicy(cfg *config.Config) (*Policy, config.Problems) {
	rules := cfg.LocalUsers.Passwords
	p := &Policy{minLength: rules.MinLength, maxBytes: Hashing{Argon2id: cfg.LocalUsers.PasswordHash == config.Argon2id}.longest()}
	if rules.BreachedList == "" || cfg.File.SkipsFiles() {
		return p, nil
	}
	var err error
	if p.breached, err = openBreached(rules.BreachedList); err == nil {
		return p, nil
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("can't %s %s: %w", path.Op, path.Path, path.Err)
	}
	return p, config.Problems{cfg.File.Problem("localUsers.passwords.breachedList", "%v", err)}
}

// Check returns why a user can't have a password that they have chosen, as an *Unfit. With any other error nobody knows.
func (p *Policy) Check(password string, u *User) error {
	switch {
	case utf8.RuneCountInString(password) < p.minLength:
		return unfitf("Choose a longer password: it must have at least %d characters.", p.minLength)
	case p.maxBytes > 0 && len(password) > p.maxBytes:
		return unfitf("Choose a shorter password: it must have at most %d characters, and those outside of English count more than once.", p.maxBytes)
	case u.names(password):
		return unfitf("Choose another password: it must not be your name or your email address.")
	case p.breached == nil:
		return nil
	}
	switch found, err := p.breached.has(password); {
	case err != nil:
		return fmt.Errorf("look a password up in localUsers.passwords.breachedList: %w", err)
	case found:
		return unfitf("Choose another password: this one is in a list of stolen passwords.")
	}
	return nil
}

func unfitf(format string, args ...any) error { return &Unfit{Reason: fmt.Sprintf(format, args...)} }

// names reports whether a text is what somebody who knows the user would try first.
func (u *User) names(text string) bool {
	text = strings.TrimSpace(text)
	mailbox, _, _ := strings.Cut(u.Email, "@")
	for _, name := range []string{u.Email, mailbox, u.Username, u.Name, u.PreferredUsername} {
		if name != "" && strings.EqualFold(text, strings.TrimSpace(name)) {
			return true
		}
	}
	return false
}
