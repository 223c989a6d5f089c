package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// errUnauthorized says that the provider knows nobody for an access token.
var errUnauthorized = errors.New("the provider knows nobody for the access token")

// userInfo asks who holds an access token.
func (c *connection) userInfo(ctx context.Context, t *relyingparty.Tokens) (relyingparty.Claims, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.UserInfoURL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("userInfoURL: %w", err)
	}
	scheme := t.Type
	if scheme == "" || strings.EqualFold(scheme, "bearer") {
		scheme = "Bearer"
	}
	r.Header.Set("Authorization", scheme+" "+t.Access)
	r.Header.Set("Accept", "application/json")
	answer, err := outbound.Do(c.client, r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("userInfoURL: %w", err)
	case answer.Status == http.StatusUnauthorized:
		return nil, errUnauthorized
	case answer.Status != http.StatusOK:
		return nil, fmt.Errorf("userInfoURL: the provider answers %d", answer.Status)
	}
	return relyingparty.ReadClaims(answer.Body)
}

// identify returns who holds an access token. Who is in none of the allowed groups is denied, whatever the application asks
// for.
func (c *connection) identify(ctx context.Context, s connector.Scopes, t *relyingparty.Tokens) (connector.Identity, error) {
	said, err := c.userInfo(ctx, t)
	if err != nil {
		return connector.Identity{}, err
	}
	m := &c.cfg.ClaimMapping
	id := connector.Identity{
		Username:          said.Text(m.UserNameKey),
		PreferredUsername: said.Text(m.PreferredUsernameKey),
		Email:             said.Text(m.EmailKey),
	}
	if id.UserID, err = c.userID(ctx, said); err != nil {
		return connector.Identity{}, err
	}
	verified, there := said.Bool(m.EmailVerifiedKey)
	id.EmailVerified = verified || !there && c.cfg.InsecureSkipEmailVerified
	groups := c.groups(said, t.Access)
	if allowed := c.cfg.AllowedGroups; len(allowed) > 0 {
		groups = slices.DeleteFunc(groups, func(g string) bool { return !slices.Contains(allowed, g) })
		if len(groups) == 0 {
			return connector.Identity{}, &connector.Denied{Reason: "You are in none of the groups that may log in here."}
		}
	}
	if s.Groups {
		id.Groups = groups
	}
	return id, nil
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
	return "", fmt.Errorf("what the provider says has no text or number %q, which is the userIDKey", c.cfg.UserIDKey)
}

// asUpstream returns a number as upstream writes it, which is part of every sub that there is already: as a floating-point
// number, from 10^21 on, or where that is shorter, with an exponent.
func (c *connection) asUpstream(ctx context.Context, number json.Number) (string, error) {
	f, err := number.Float64()
	if err != nil {
		return "", fmt.Errorf("userIDKey %q: %w", c.cfg.UserIDKey, err)
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if text != number.String() {
		c.inexact.Do(func() {
			c.log.WarnContext(ctx, "ids of users are numbers that are not written as the provider does, and long ones may "+
				"coincide; exactNumericIDs: true writes them exactly, but changes the sub of every user", "user_id_key", c.cfg.UserIDKey)
		})
	}
	return text, nil
}

// groups returns the user's groups: what the provider says, and what is in an access token that is a JWT. It came from the
// provider itself, so its signature proves nothing more; but not where anybody could have been in between.
func (c *connection) groups(said relyingparty.Claims, accessToken string) []string {
	var groups []string
	add := func(from relyingparty.Claims) {
		value, _ := from.Find(c.cfg.ClaimMapping.GroupsKey)
		for _, name := range names(value) {
			if !slices.Contains(groups, name) {
				groups = append(groups, name)
			}
		}
	}
	add(said)
	if inside, ok := payload(accessToken); ok && !c.cfg.InsecureSkipVerify {
		add(inside)
	}
	return groups
}

// names reads groups: a list of texts or of objects with a name, or one text with commas.
func names(value any) []string {
	var found []string
	switch v := value.(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			if name := strings.TrimSpace(part); name != "" {
				found = append(found, name)
			}
		}
	case []any:
		for _, item := range v {
			name, ok := item.(string)
			if object, isObject := item.(map[string]any); isObject {
				name, ok = object["name"].(string)
			}
			if ok && name != "" {
				found = append(found, name)
			}
		}
	}
	return found
}

// payload returns the claims of a JWT, unverified.
func payload(token string) (relyingparty.Claims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) < 2 { //nolint:mnd // the payload is the second
		return nil, false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, false
	}
	claims, err := relyingparty.ReadClaims(text)
	return claims, err == nil
}
