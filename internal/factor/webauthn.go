package factor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"dex/internal/event"
)

const (
	maxCredentials = 20
	maxAnswer      = 64 << 10
)

// An Assertion is a proof that somebody has a credential.
type Assertion struct {
	Credential   Credential
	UserVerified bool     // by a PIN or by what they are
	Methods      []string // RFC 8176
}

// A refusal is an ErrCeremony with its cause.
type refusal struct{ cause error }

func (r refusal) Error() string { return ErrCeremony.Error() + ": " + r.cause.Error() }

func (r refusal) Unwrap() []error { return []error{ErrCeremony, r.cause} }

// refusalOf returns the refusal for an error of the library, with the details that it leaves out of its text.
func refusalOf(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) && e.DevInfo != "" {
		return refusal{fmt.Errorf("%w (%.300q)", err, e.DevInfo)}
	}
	return refusal{err}
}

// refused tells that a factor didn't pass.
func (f *Factors) refused(ctx context.Context, factor event.Factor, err error) {
	e := event.FactorRefused{Factor: factor, Err: err}
	var locked *Locked
	switch {
	case errors.Is(err, ErrWrong):
		e.Reason = event.FactorWrong
	case errors.Is(err, ErrReplayed):
		e.Reason = event.FactorReplayed
	case errors.As(err, &locked):
		e.Reason = event.FactorLocked
	case errors.Is(err, ErrClone):
		e.Reason = event.FactorClone
	case errors.Is(err, ErrCeremony):
		e.Reason = event.FactorCeremony
	default:
		return // nobody was refused: the storage failed, or there is no such factor
	}
	f.events.Emit(ctx, e)
}

// account is a user as the library asks for them.
type account struct {
	handle      []byte
	user        User
	credentials []webauthn.Credential
}

func (a *account) WebAuthnID() []byte                         { return a.handle }
func (a *account) WebAuthnName() string                       { return cmp.Or(a.user.Name, a.user.UserID) }
func (a *account) WebAuthnDisplayName() string                { return a.user.DisplayName }
func (a *account) WebAuthnCredentials() []webauthn.Credential { return a.credentials }

// party returns the party of an authenticator.
func (f *Factors) party(authenticatorID string) (*party, error) {
	p, ok := f.parties[authenticatorID]
	if !ok {
		return nil, fmt.Errorf("%q is no authenticator of type %s", authenticatorID, TypeWebAuthn)
	}
	return p, nil
}

// BeginRegistration returns the options for navigator.credentials.create as JSON. Bound is what the ceremony belongs to.
func (f *Factors) BeginRegistration(ctx context.Context, u User, authenticatorID, bound string) ([]byte, error) {
	p, err := f.party(authenticatorID)
	if err != nil {
		return nil, err
	}
	r, err := f.Get(ctx, u)
	if err != nil {
		return nil, err
	}
	if len(r.Credentials) >= maxCredentials {
		return nil, ErrTooMany
	}
	a := &account{handle: handleOf(u), user: u}
	options, _, err := p.web.BeginRegistration(a,
		webauthn.WithCredentialParameters(algorithms),
		webauthn.WithExclusions(descriptors(r.of(authenticatorID))),
		func(o *protocol.PublicKeyCredentialCreationOptions) error {
			o.Challenge = f.challengeFor(registration, bound, authenticatorID, u.key(), p.settings.Timeout)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("begin a registration: %w", err)
	}
	return json.Marshal(options)
}

// FinishRegistration enrolls the credential of an answer to BeginRegistration, if the conditions hold.
func (f *Factors) FinishRegistration(
	ctx context.Context, u User, authenticatorID, bound, name string, answer []byte, only ...Condition,
) (Credential, error) {
	p, err := f.party(authenticatorID)
	if err != nil {
		return Credential{}, err
	}
	factor := u.factor(authenticatorID, event.FactorWebAuthn)
	c, used, err := f.verifyRegistration(ctx, p, u, bound, answer)
	if err != nil {
		f.refused(ctx, factor, err)
		return Credential{}, err
	}
	c.Name = credentialName(name)
	err = f.change(ctx, u, func(r *Record) error {
		switch {
		case r.find(c.ID) >= 0:
			return ErrTaken
		case len(r.Credentials) >= maxCredentials:
			return ErrTooMany
		}
		if err := r.meets(only); err != nil {
			return err
		}
		if err := r.use(used, f.now()); err != nil {
			return refusal{err}
		}
		r.Credentials = append(r.Credentials, c)
		return nil
	})
	if err != nil {
		f.refused(ctx, factor, err)
		return Credential{}, err
	}
	f.events.Emit(ctx, event.FactorEnrolled{Factor: factor})
	return c, nil
}

// verifyRegistration returns the credential of an answer, and its challenge.
func (f *Factors) verifyRegistration(ctx context.Context, p *party, u User, bound string, answer []byte) (Credential, answered, error) {
	if len(answer) > maxAnswer {
		return Credential{}, answered{}, refusal{errors.New("the answer is too long")}
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Credential{}, answered{}, refusalOf(err)
	}
	challenge := parsed.Response.CollectedClientData.Challenge
	used, err := f.openChallenge(ctx, registration, bound, p.id, u.key(), challenge)
	if err != nil {
		return Credential{}, answered{}, err
	}
	a := &account{handle: handleOf(u), user: u}
	made, err := p.web.CreateCredential(a, webauthn.SessionData{
		Challenge: challenge, RelyingPartyID: p.settings.RPID, UserID: a.handle, CredParams: algorithms,
		UserVerification: protocol.UserVerificationRequirement(p.settings.UserVerification),
	}, parsed)
	if err != nil {
		return Credential{}, answered{}, refusalOf(err)
	}
	if err := p.checkModel(parsed, f.now()); err != nil {
		return Credential{}, answered{}, refusal{err}
	}
	return credentialOf(made, p.id, f.now()), used, nil
}

// BeginAssertion returns the options for navigator.credentials.get as JSON.
func (f *Factors) BeginAssertion(ctx context.Context, u User, authenticatorID, bound string) ([]byte, error) {
	p, err := f.party(authenticatorID)
	if err != nil {
		return nil, err
	}
	r, err := f.Get(ctx, u)
	if err != nil {
		return nil, err
	}
	enrolled := r.of(authenticatorID)
	if len(enrolled) == 0 {
		return nil, ErrNotEnrolled
	}
	a := &account{handle: handleOf(u), user: u}
	for i := range enrolled {
		if !enrolled[i].Clone {
			a.credentials = append(a.credentials, enrolled[i].credential())
		}
	}
	if len(a.credentials) == 0 {
		return nil, ErrClone
	}
	challenge := f.challengeFor(assertion, bound, authenticatorID, u.key(), p.settings.Timeout)
	options, _, err := p.web.BeginLogin(a, webauthn.WithChallenge(challenge))
	if err != nil {
		return nil, fmt.Errorf("begin an assertion: %w", err)
	}
	return json.Marshal(options)
}

// FinishAssertion passes an answer to BeginAssertion, once.
func (f *Factors) FinishAssertion(ctx context.Context, u User, authenticatorID, bound string, answer []byte) (Assertion, error) {
	p, err := f.party(authenticatorID)
	if err != nil {
		return Assertion{}, err
	}
	made, err := f.assert(ctx, p, u, bound, answer)
	f.told(ctx, u.factor(authenticatorID, event.FactorWebAuthn), err)
	return made, err
}

// told tells how an assertion has ended.
func (f *Factors) told(ctx context.Context, factor event.Factor, err error) {
	if err != nil {
		f.refused(ctx, factor, err)
		return
	}
	f.events.Emit(ctx, event.FactorPassed{Factor: factor})
}

func (f *Factors) assert(ctx context.Context, p *party, u User, bound string, answer []byte) (Assertion, error) {
	parsed, err := parseAssertion(answer)
	if err != nil {
		return Assertion{}, err
	}
	used, err := f.openChallenge(ctx, assertion, bound, p.id, u.key(), parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return Assertion{}, err
	}
	r, err := f.Get(ctx, u)
	if err != nil {
		return Assertion{}, err
	}
	return f.verifyAssertion(ctx, p, u, r.of(p.id), parsed, used)
}

func parseAssertion(answer []byte) (*protocol.ParsedCredentialAssertionData, error) {
	if len(answer) > maxAnswer {
		return nil, refusal{errors.New("the answer is too long")}
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return nil, refusalOf(err)
	}
	return parsed, nil
}

// verifyAssertion checks an answer by one of the credentials, and takes note of it.
func (f *Factors) verifyAssertion(
	ctx context.Context, p *party, u User, enrolled []Credential, parsed *protocol.ParsedCredentialAssertionData, used answered,
) (Assertion, error) {
	if len(enrolled) == 0 {
		return Assertion{}, refusal{ErrNotEnrolled}
	}
	a := &account{handle: handleOf(u), user: u}
	if handle := parsed.Response.UserHandle; bytes.Equal(handle, upstreamHandle(u)) {
		a.handle = handle
	}
	session := webauthn.SessionData{
		Challenge: parsed.Response.CollectedClientData.Challenge, RelyingPartyID: p.settings.RPID, UserID: a.handle,
		UserVerification: protocol.UserVerificationRequirement(p.settings.UserVerification),
	}
	for i := range enrolled {
		a.credentials = append(a.credentials, enrolled[i].credential())
		session.AllowedCredentialIDs = append(session.AllowedCredentialIDs, enrolled[i].ID)
	}
	// The count is compared within the swap.
	made, err := p.web.ValidateLogin(a, session, parsed)
	if err != nil {
		return Assertion{}, refusalOf(err)
	}
	flags := parsed.Response.AuthenticatorData.Flags
	c, err := f.note(ctx, u, made, parsed.Response.AuthenticatorData.Counter, flags.HasBackupState(), used)
	if err != nil {
		return Assertion{}, err
	}
	return Assertion{Credential: c, UserVerified: flags.UserVerified(), Methods: c.Methods()}, nil
}

// note keeps what a right answer says of its credential, and refuses one whose count went back, or that was given before.
func (f *Factors) note(ctx context.Context, u User, made *webauthn.Credential, count uint32, backedUp bool, used answered) (Credential, error) {
	var noted Credential
	var outcome error
	err := f.change(ctx, u, func(r *Record) error {
		i := r.find(made.ID)
		if i < 0 || !bytes.Equal(r.Credentials[i].PublicKey, made.PublicKey) {
			return refusal{ErrNotEnrolled} // removed meanwhile
		}
		if err := r.use(used, f.now()); err != nil {
			return refusal{err}
		}
		c := &r.Credentials[i]
		if c.Clone {
			return ErrClone
		}
		outcome = c.count(count)
		if outcome == nil {
			c.BackupState, c.LastUsed = backedUp, f.now()
		}
		noted = *c
		return nil
	})
	if err == nil {
		err = outcome
	}
	return noted, err
}

// Methods says how a credential was used, in words of RFC 8176: a key in hardware or, if it may be synced, in software, and somebody
// who touched it.
func (c Credential) Methods() []string {
	if c.BackupEligible {
		return []string{"swk", "user"}
	}
	return []string{"hwk", "user"}
}
