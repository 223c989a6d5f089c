package token

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"dex/internal/store"
)

// groupSource names, in tokens that refer to UserInfo for their user's groups, where these are.
const groupSource = "dex"

// maxGroupText bounds the groups of one record once they are unpacked, in bytes.
const maxGroupText = 16 << 20

// references say where claims are that a token doesn't have itself (OpenID Connect Core, section 5.6.2).
type references struct {
	ClaimNames   map[string]string      `json:"_claim_names,omitempty"`
	ClaimSources map[string]claimSource `json:"_claim_sources,omitempty"`
}

// A claimSource is fetched with the access token that the application has got together with the ID token.
type claimSource struct {
	Endpoint string `json:"endpoint"`
}

// references returns those of tokens whose groups are at UserInfo.
func (m *Minter) references() references {
	return references{
		ClaimNames:   map[string]string{"groups": groupSource},
		ClaimSources: map[string]claimSource{groupSource: {Endpoint: m.UserInfo}},
	}
}

// userGroups is the record of groups that the tokens of one login refer to. Its key is the half of their ids that names the login.
type userGroups struct {
	Groups  []byte    `json:"groups"` // a JSON list, compressed (RFC 1951)
	Expires time.Time `json:"expires"`
}

var claimsKind = store.Declare(store.Declaration[userGroups]{
	Name: "claims", Quiet: true,
	Expires: func(g *userGroups) time.Time { return g.Expires },
})

// Groups are the groups that tokens refer to because they are too many for them. They are safe for concurrent use.
type Groups struct {
	table *store.Table[userGroups]
}

// NewGroups returns the groups in a storage.
func NewGroups(s store.Store) *Groups { return &Groups{table: store.In(s, claimsKind)} }

// keep stores the groups of a login's user for tokens with a lifetime that are about to be made. Tokens that the login has got before
// refer to them too, and tell what is true now.
func (g *Groups) keep(ctx context.Context, login string, groups []string, lifetime time.Duration) error {
	if g == nil {
		return errors.New("there is no place for groups that tokens could refer to")
	}
	packed, err := pack(groups)
	if err != nil {
		return err
	}
	fresh := userGroups{Groups: packed, Expires: time.Now().Add(lifetime + store.ClockSkew)}
	for {
		_, err := g.table.Create(ctx, login, fresh)
		if errors.Is(err, store.ErrExists) {
			_, err = g.table.Update(ctx, login, func(stored *userGroups) error {
				if stored.Expires.After(fresh.Expires) { // of tokens that were to live longer
					fresh.Expires = stored.Expires
				}
				*stored = fresh
				return nil
			})
		}
		switch {
		case errors.Is(err, store.ErrNotFound): // it expired in between
			continue
		case err != nil:
			return fmt.Errorf("store the user's %d groups, which tokens are to refer to: %w", len(groups), err)
		}
		return nil
	}
}

// of returns the groups that the tokens of a login refer to. The error is ErrRefused if they are gone, as those of tokens that have
// expired are.
func (g *Groups) of(ctx context.Context, login string) ([]string, error) {
	if g == nil {
		return nil, errors.New("there is no place for groups that tokens could refer to")
	}
	e, err := g.table.Get(ctx, login)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: the groups that it refers to are gone", ErrRefused)
	}
	if err != nil {
		return nil, fmt.Errorf("read the groups that a token refers to: %w", err)
	}
	return unpack(e.Value.Groups)
}

func pack(groups []string) ([]byte, error) {
	text, err := json.Marshal(groups)
	if err != nil {
		return nil, fmt.Errorf("encode groups: %w", err)
	}
	if len(text) > maxGroupText {
		return nil, fmt.Errorf("the user's %d groups have more than %d bytes", len(groups), maxGroupText)
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress groups: %w", err)
	}
	return b.Bytes(), nil
}

func unpack(packed []byte) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxGroupText+1))
	if err == nil && len(text) > maxGroupText {
		err = errors.New("they are too long")
	}
	var groups []string
	if err == nil {
		err = json.Unmarshal(text, &groups)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack the groups that a token refers to: %w", err)
	}
	return groups, nil
}

// Complete adds the groups that a verified token refers to, as if it had them itself. The error is ErrRefused if they are gone, or that
// the storage could not be asked.
func (v *Verifier) Complete(ctx context.Context, t *Verified) error {
	if t.ClaimNames["groups"] != groupSource {
		return nil
	}
	groups, err := v.Groups.of(ctx, t.login())
	if err != nil {
		return err
	}
	claims := map[string]json.RawMessage{}
	if err := json.Unmarshal(t.Payload, &claims); err != nil {
		return fmt.Errorf("decode claims: %w", err)
	}
	delete(claims, "_claim_names")
	delete(claims, "_claim_sources")
	if claims["groups"], err = json.Marshal(groups); err != nil {
		return fmt.Errorf("encode groups: %w", err)
	}
	if t.Payload, err = json.Marshal(claims); err != nil {
		return fmt.Errorf("encode claims: %w", err)
	}
	t.Groups, t.ClaimNames = groups, nil
	return nil
}
