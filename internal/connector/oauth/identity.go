package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// userInfo asks who holds an access token. The error may be a *relyingparty.BearerError.
func (c *connection) userInfo(ctx context.Context, calls *relyingparty.Calls) (relyingparty.Claims, error) {
	answer, err := calls.Get(ctx, c.cfg.UserInfoURL)
	if err != nil {
		return nil, fmt.Errorf("userInfoURL: %w", err)
	}
	return relyingparty.ReadClaims(answer.Body)
}

// identify returns who holds an access token. A user in none of the allowed groups is denied, whatever the application asks
// for.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, t *relyingparty.Tokens,
) (connector.Identity, error) {
	said, err := c.userInfo(ctx, calls)
	if err != nil {
		return connector.Identity{}, err
	}
	m := &c.cfg.ClaimMapping
	id := connector.Identity{
		Username:          c.text(ctx, said, m.UserNameKey, defaultMapping.UserNameKey),
		PreferredUsername: c.text(ctx, said, m.PreferredUsernameKey, defaultMapping.PreferredUsernameKey),
		Email:             c.text(ctx, said, m.EmailKey, defaultMapping.EmailKey),
	}
	if id.UserID, err = c.userID(ctx, said); err != nil {
		return connector.Identity{}, err
	}
	id.EmailVerified = c.emailVerified(ctx, said)
	groups, err := connector.AllowGroups("allowedGroups", c.groups(ctx, said, t.Access), c.cfg.AllowedGroups)
	if err != nil {
		return connector.Identity{}, err
	}
	if s.Groups {
		id.Groups = groups
	}
	return id, nil
}

// text returns a member that is a text.
func (c *connection) text(ctx context.Context, said relyingparty.Claims, key, standard string) string {
	if _, there := said.Find(key); !there && key != standard {
		c.foundNothing(ctx, said, key)
	}
	return said.Text(key)
}

// foundNothing tells the operator of a claimMapping that finds nothing, and what there is in its place.
func (c *connection) foundNothing(ctx context.Context, said relyingparty.Claims, mapping string) {
	c.log.InfoContext(ctx, "claimMapping finds nothing in what the provider says of the user; a dot in a name needs a backslash",
		"mapping", mapping, "there", said.Astray(mapping))
}

// emailVerified reports whether the address is the user's.
func (c *connection) emailVerified(ctx context.Context, said relyingparty.Claims) bool {
	verified, there, err := said.Bool(c.cfg.ClaimMapping.EmailVerifiedKey)
	if err != nil {
		c.log.WarnContext(ctx, "the provider's words can't be read", "err", err)
	}
	return verified || !there && c.cfg.InsecureSkipEmailVerified
}

// userID returns what identifies the user at the provider: a text or a number.
func (c *connection) userID(ctx context.Context, said relyingparty.Claims) (string, error) {
	value, _ := said.Find(c.cfg.UserIDKey)
	switch v := value.(type) {
	case string:
		if v != "" {
			return v, nil
		}
	case json.Number:
		if c.cfg.ExactNumericIDs {
			return v.String(), nil
		}
		return c.asUpstream(ctx, v)
	}
	return "", &connector.Unusable{
		Reason: "Your account has no user ID that can be used here. Ask whoever manages your account to add it.",
		Claim:  c.cfg.UserIDKey,
		Cause:  fmt.Errorf("what the provider says has no text or number %q, which is the userIDKey", c.cfg.UserIDKey),
	}
}

// asUpstream returns a number as upstream writes it, which is part of every sub that there is already: as a floating-point
// number, from 10^21 on, or where that is shorter, with an exponent. Numbers that are not exact so would make one user of
// several, and are refused.
func (c *connection) asUpstream(ctx context.Context, number json.Number) (string, error) {
	const most = 1 << 53 // beyond, floating-point numbers leave whole numbers out
	f, err := number.Float64()
	if err != nil || math.Abs(f) > most || digits(number.String()) != digits(strconv.FormatFloat(f, 'f', -1, 64)) {
		return "", &connector.Unusable{
			Reason: "Your account can't be told apart from others here.",
			Claim:  c.cfg.UserIDKey,
			Cause: fmt.Errorf("%q is the number %.40s, which is not exact as upstream writes it: set exactNumericIDs: true, "+
				"which changes the sub of users whose numbers are long", c.cfg.UserIDKey, number),
		}
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if text != number.String() {
		c.inexact.Do(func() {
			c.log.WarnContext(ctx, "ids of users are numbers that are not written as the provider does; "+
				"exactNumericIDs: true writes them exactly, but changes the sub of every user", "user_id_key", c.cfg.UserIDKey)
		})
	}
	return text, nil
}

// digits returns the digits of a number that say more than its size.
func digits(number string) string {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return strings.Trim(strings.NewReplacer(".", "", "-", "").Replace(mantissa), "0")
}

// groups returns the user's groups: what the provider says, and what is in an access token that is a JWT. It came from the
// provider itself, so its signature proves nothing more; but not where anybody could have been in between.
func (c *connection) groups(ctx context.Context, said relyingparty.Claims, accessToken string) []string {
	key := c.cfg.ClaimMapping.GroupsKey
	value, found := said.Find(key)
	groups := names(value)
	if inside, ok := payload(accessToken); ok && !c.cfg.InsecureSkipVerify {
		value, there := inside.Find(key)
		groups, found = append(groups, names(value)...), found || there
	}
	if !found && key != defaultMapping.GroupsKey {
		c.foundNothing(ctx, said, key)
	}
	return connector.Unique(groups)
}

// names reads groups, which may also be one text with commas.
func names(value any) []string {
	text, ok := value.(string)
	if !ok {
		found, _ := relyingparty.GroupNames(value)
		return found
	}
	var found []string
	for part := range strings.SplitSeq(text, ",") {
		found = append(found, strings.TrimSpace(part))
	}
	return found
}

// payload returns the claims of a JWT, unverified.
func payload(token string) (relyingparty.Claims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) < 2 { // the payload is the second
		return nil, false
	}
	claims, err := relyingparty.ReadEncoded(strings.TrimRight(parts[1], "="))
	return claims, err == nil
}
