package token

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"dex/internal/event"
	"dex/internal/oauth"
	"dex/internal/seal"
)

// size returns how long a token with these claims is, in bytes.
func (d *draft) size(p *payload) (int, error) {
	if p == nil {
		return 0, nil
	}
	b, err := json.Marshal(p)
	switch {
	case err != nil:
		return 0, oauth.Failed(fmt.Errorf("encode claims: %w", err))
	case p != d.access:
		return d.key.Length("", len(b)), nil
	case d.opaque:
		return len(opaquePrefix) + seal.Length(len(b)), nil
	}
	return d.key.Length(d.typ, len(b)), nil
}

// groups returns those that the tokens name.
func (d *draft) groups() []string {
	switch {
	case d.access != nil:
		return d.access.Groups
	case d.id != nil:
		return d.id.Groups
	}
	return nil
}

// limitGroups makes tokens refer to UserInfo for the user's groups, if they are too many or too long for the terms, and stores them for
// it.
func (m *Minter) limitGroups(ctx context.Context, a *Authorization, on Terms, d *draft) error {
	groups, err := m.referToGroups(a, on, d)
	if err != nil || groups == nil || d.access == nil { // the answer to a code stores them
		return err
	}
	if err := m.Groups.keep(ctx, loginOf(d.access.TokenID), groups, max(on.IDLifetime, on.AccessLifetime)); err != nil {
		return oauth.Failed(err)
	}
	return nil
}

// referToGroups puts a reference to UserInfo in place of the user's groups, if they are too many or too long for the terms, and returns
// those groups; nil if the tokens name them. An ID token for which there is no access token, now or for its code, keeps them: its
// application could not ask for them.
func (m *Minter) referToGroups(a *Authorization, on Terms, d *draft) ([]string, error) {
	if d.access == nil && (d.id == nil || !d.byCode) || len(d.groups()) == 0 {
		return nil, nil
	}
	tooLong, err := d.tooLong(on)
	if err != nil {
		return nil, err
	}
	groups := d.groups()
	if !tooLong && (on.MaxGroups <= 0 || len(groups) <= on.MaxGroups) {
		return nil, nil
	}
	d.referred = len(groups)
	login := cmp.Or(a.GrantID, NewGrantID()) // one for both tokens, which lead to the same record
	for _, p := range []*payload{d.access, d.id} {
		if p != nil {
			p.TokenID, p.Groups, p.references = tokenID(login), nil, m.references()
		}
	}
	return groups, nil
}

// tooLong reports whether a token would be longer than the terms let it be.
func (d *draft) tooLong(on Terms) (bool, error) {
	if on.MaxSize <= 0 {
		return false, nil
	}
	for _, p := range []*payload{d.access, d.id} {
		if n, err := d.size(p); err != nil || n > on.MaxSize {
			return true, err
		}
	}
	return false, nil
}

// checkSize refuses tokens that are longer than the terms let them be, and tells of those that are long.
func (m *Minter) checkSize(ctx context.Context, a *Authorization, on Terms, d *draft, t Tokens) error {
	told := event.TokenTooLarge{
		ClientID: a.ClientID, Bytes: max(len(t.Access), len(t.ID)), Groups: max(d.referred, len(d.groups())), ByReference: d.referred > 0,
		Refused: on.MaxSize > 0 && max(len(t.Access), len(t.ID)) > on.MaxSize,
	}
	if m.Events != nil && (told.Refused || told.ByReference || m.WarnSize > 0 && told.Bytes > m.WarnSize) {
		m.Events.Emit(ctx, told)
	}
	if told.Refused {
		return oauth.Errorf(oauth.ServerError, "A token for this user would be larger than this client may have; trying again won't help. "+
			"Ask the people who run this service.").Because(fmt.Errorf(
			"a token of client %q would have %d bytes, more than the %d of its maxSize", a.ClientID, told.Bytes, on.MaxSize))
	}
	return nil
}
