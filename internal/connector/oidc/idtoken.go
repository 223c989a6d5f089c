package oidc

import (
	"context"
	"crypto"
	_ "crypto/sha256" // for hashes
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// An invalid token is one that its issuer has signed and that is of no use here. The text is for who showed it.
type invalid struct{ reason string }

// Error implements error.
func (i *invalid) Error() string { return i.reason }

func invalidf(format string, args ...any) error { return &invalid{fmt.Sprintf(format, args...)} }

// notBeforeLeeway is how far a token may be valid in the future only.
const notBeforeLeeway = 5 * time.Minute

// verifySigned returns the claims of a token of the provider that is valid now. Whom it is for is not checked. An error that
// is errForged or an *invalid is the token's fault.
func (c *connection) verifySigned(ctx context.Context, m *metadata, token string) (relyingparty.Claims, error) {
	said, err := c.keys.verify(ctx, m, token)
	if err != nil {
		return nil, err
	}
	const schemeless = "accounts.google.com" // as Google's old tokens have it
	expected := c.cfg.expectedIssuer()
	if iss := said.Text("iss"); iss != expected && (iss != schemeless || expected != "https://"+schemeless) {
		return nil, invalidf("its issuer is %q, not %q", iss, expected)
	}
	now := time.Now()
	expires := said.Time("exp")
	if expires.IsZero() || now.After(expires.Add(c.cfg.skew())) {
		return nil, invalidf("it has expired; get a new one")
	}
	if from := said.Time("nbf"); from.After(now.Add(notBeforeLeeway)) {
		return nil, invalidf("it is not valid yet")
	}
	return said, nil
}

// verifyID returns the claims of an ID token that was made for us (OpenID Connect Core, section 3.1.3.7).
func (c *connection) verifyID(ctx context.Context, m *metadata, token string) (relyingparty.Claims, error) {
	said, err := c.verifySigned(ctx, m, token)
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	audience := said.Texts("aud")
	if !slices.Contains(audience, c.cfg.ClientID) {
		return nil, fmt.Errorf("ID token: it was made for %q, not for %q", audience, c.cfg.ClientID)
	}
	if azp := said.Text("azp"); len(audience) > 1 && azp != "" && azp != c.cfg.ClientID {
		return nil, fmt.Errorf("ID token: it was given to %q", azp)
	}
	return said, nil
}

// checkLogin checks what binds an ID token to this login.
func (c *connection) checkLogin(said relyingparty.Claims, nonce string, given *relyingparty.Tokens) error {
	if nonce == "" || subtle.ConstantTimeCompare([]byte(said.Text("nonce")), []byte(nonce)) != 1 {
		return errors.New("ID token: its nonce is not that of this login")
	}
	if hash := said.Text("at_hash"); hash != "" {
		if want, ok := tokenHash(given.ID, given.Access); ok && hash != want {
			return errors.New("ID token: its at_hash is not that of the access token")
		}
	}
	if acr := said.Text("acr"); c.cfg.VerifyACR && !slices.Contains(c.cfg.ACRValues, acr) {
		return fmt.Errorf("ID token: its acr is %q, which is none of acrValues", acr)
	}
	return nil
}

// tokenHash returns what an ID token has as at_hash (OpenID Connect Core, section 3.1.3.6); false for an algorithm whose
// hash is not settled.
func tokenHash(idToken, accessToken string) (string, bool) {
	signed, err := jose.ParseSignedCompact(idToken, algorithms)
	if err != nil {
		return "", false
	}
	var hash crypto.Hash
	switch alg := signed.Signatures[0].Header.Algorithm; {
	case strings.HasSuffix(alg, "256"):
		hash = crypto.SHA256
	case strings.HasSuffix(alg, "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(alg, "512"):
		hash = crypto.SHA512
	default:
		return "", false
	}
	h := hash.New()
	_, _ = h.Write([]byte(accessToken)) // never fails
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:hash.Size()/2]), true
}

// errUnauthorized says that the provider knows nobody for an access token.
var errUnauthorized = errors.New("the provider knows nobody for the access token")

// userInfo asks the provider about the holder of an access token (OpenID Connect Core, section 5.3).
func (c *connection) userInfo(ctx context.Context, m *metadata, accessToken string) (relyingparty.Claims, error) {
	if m.UserInfoURL == "" {
		return nil, errors.New("the provider's metadata have no userinfo_endpoint")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserInfoURL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	answer, err := outbound.Do(c.client, r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("userinfo: %w", err)
	case answer.Status == http.StatusUnauthorized, answer.Status == http.StatusForbidden:
		return nil, errUnauthorized
	case answer.Status != http.StatusOK:
		return nil, fmt.Errorf("userinfo: the provider answers %d", answer.Status)
	case answer.MediaType() == "application/jwt":
		return c.keys.verify(ctx, m, string(answer.Body))
	}
	return relyingparty.ReadClaims(answer.Body)
}
