package factor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"dex/internal/event"
	"dex/internal/id"
	"dex/internal/store"
)

// handleOf returns the user.id of a user's new credentials. It says nothing of them, and leads to their record.
func handleOf(u User) []byte {
	handle, err := id.Unlower(u.key())
	if err != nil {
		panic("factor: the key of a record is not base32") // it always is
	}
	return handle
}

// upstreamHandle returns the user.id that upstream gave the credentials of a user.
func upstreamHandle(u User) []byte { return []byte(u.UserID + "|" + u.ConnectorID) }

// BeginPasskey returns the options for navigator.credentials.get as JSON, for somebody who isn't known yet; false if no authenticator is
// passwordless.
func (f *Factors) BeginPasskey(bound string) ([]byte, bool, error) {
	p := f.passkey
	if p == nil {
		return nil, false, nil
	}
	challenge := f.challengeFor(passkey, bound, "", "", p.settings.Timeout)
	options, _, err := p.web.BeginDiscoverableLogin(webauthn.WithChallenge(challenge))
	if err != nil {
		return nil, false, fmt.Errorf("begin a login by passkey: %w", err)
	}
	text, err := json.Marshal(options)
	return text, err == nil, err
}

// FinishPasskey returns whose passkey has answered BeginPasskey. What is wrong with an answer that isn't accepted is for the log alone:
// nobody may learn which credentials there are.
func (f *Factors) FinishPasskey(ctx context.Context, bound string, answer []byte) (User, Assertion, error) {
	u, p, made, err := f.passed(ctx, bound, answer)
	authenticatorID := ""
	if p != nil {
		authenticatorID = p.id
	}
	f.told(ctx, u.factor(authenticatorID, event.FactorPasskey), err)
	if err != nil {
		return User{}, Assertion{}, err
	}
	return u, made, nil
}

func (f *Factors) passed(ctx context.Context, bound string, answer []byte) (User, *party, Assertion, error) {
	parsed, err := parseAssertion(answer)
	if err != nil {
		return User{}, nil, Assertion{}, err
	}
	used, err := f.openChallenge(ctx, passkey, bound, "", "", parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return User{}, nil, Assertion{}, err
	}
	u, p, enrolled, err := f.owner(ctx, parsed)
	if err != nil {
		return u, nil, Assertion{}, err
	}
	made, err := f.verifyAssertion(ctx, p, u, enrolled, parsed, used)
	made.Methods = append(made.Methods, "mfa") // the device, and what unlocks it
	return u, p, made, err
}

// owner returns who has the credential of an answer, its party, and the user's credentials with that party. Nothing of it is proved yet.
func (f *Factors) owner(ctx context.Context, parsed *protocol.ParsedCredentialAssertionData) (User, *party, []Credential, error) {
	r, err := f.byHandle(ctx, parsed.Response.UserHandle)
	if err != nil {
		return User{}, nil, nil, err
	}
	u := User{UserID: r.UserID, ConnectorID: r.ConnectorID}
	i := r.find(parsed.RawID)
	if i < 0 {
		return u, nil, nil, refusal{ErrUnknownUser}
	}
	p, ok := f.parties[r.Credentials[i].Authenticator]
	if !ok || !p.settings.Passwordless {
		return u, nil, nil, refusal{fmt.Errorf("the credential is of authenticator %q, which is not passwordless", r.Credentials[i].Authenticator)}
	}
	return u, p, r.of(p.id), nil
}

// byHandle returns the record that a user handle leads to.
func (f *Factors) byHandle(ctx context.Context, handle []byte) (Record, error) {
	if key := id.Lower(handle); len(handle) == id.SecretLen {
		e, err := f.table.Get(store.Latest(ctx), key)
		if !errors.Is(err, store.ErrNotFound) {
			return e.Value, err
		}
	}
	if i := bytes.LastIndexByte(handle, '|'); i >= 0 {
		return f.Get(ctx, User{UserID: string(handle[:i]), ConnectorID: string(handle[i+1:])})
	}
	return Record{}, refusal{ErrUnknownUser}
}
