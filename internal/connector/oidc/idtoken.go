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
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// An invalid token is one that its issuer has signed and that is of no use here. The text is for whoever presented it.
type invalid struct{ reason string }

// Error implements error.
func (i *invalid) Error() string { return i.reason }

func invalidf(format string, args ...any) error { return &invalid{fmt.Sprintf(format, args...)} }

// notBeforeLeeway is how far a token may be valid in the future only.
const notBeforeLeeway = 5 * time.Minute

// verifySigned returns the claims of a token of the provider that is valid now and says who somebody is. Whom it is for is not
// checked. An error that is relyingparty.ErrForged or an *invalid is the token's fault.
func (c *connection) verifySigned(ctx context.Context, m *metadata, token string) (relyingparty.Claims, error) {
	said, err := c.keys.Verify(ctx, m.JWKSURL, token, m.algorithms())
	if err != nil {
		return nil, err
	}
	if err := c.checkIssuer(said); err != nil {
		return nil, err
	}
	now := time.Now()
	expires := said.Time("exp")
	if expires.IsZero() {
		return nil, invalidf("it has no exp, or none that is a time")
	}
	if now.After(expires.Add(c.cfg.skew())) {
		return nil, invalidf("it has expired; get a new one")
	}
	if from := said.Time("nbf"); from.After(now.Add(notBeforeLeeway)) {
		return nil, invalidf("it is not valid yet")
	}
	if said.Text("sub") == "" {
		return nil, invalidf("it has no sub, so that it says of nobody who they are")
	}
	return said, checkPurpose(token, said)
}

func (c *connection) checkIssuer(said relyingparty.Claims) error {
	const schemeless = "accounts.google.com" // as Google's old tokens have it
	expected := c.cfg.expectedIssuer()
	if iss := said.Text("iss"); iss != expected && (iss != schemeless || expected != "https://"+schemeless) {
		return invalidf("its issuer is %q, not %q", iss, expected)
	}
	return nil
}

// checkPurpose refuses tokens that don't say who somebody is, though the same keys have signed them.
func checkPurpose(token string, said relyingparty.Claims) error {
	if _, there := said["events"]; there { // OpenID Connect Back-Channel Logout, section 2.4; RFC 8417, section 2
		return invalidf("it has events, as logout tokens have, which prove nothing else")
	}
	switch typ := tokenType(token); {
	case typ == accessTokenType || !strings.HasSuffix(typ, "+jwt"):
		return nil
	default: // RFC 8725, section 3.11
		return invalidf("its typ is %q, so that it was made for another purpose", typ)
	}
}

// accessTokenType is the type of access tokens that are told from ID tokens (RFC 9068, section 2.1).
const accessTokenType = "at+jwt"

// tokenType returns what the header of a JWT says that it is; the prefix may be left out (RFC 7515, section 4.1.9).
func tokenType(token string) string {
	first, _, _ := strings.Cut(token, ".")
	header, err := relyingparty.ReadEncoded(first)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(header.Text("typ")), "application/")
}

// checkID checks what ID tokens alone must be.
func (c *connection) checkID(token string, said relyingparty.Claims) error {
	if tokenType(token) == accessTokenType {
		return invalidf("it is an access token (RFC 9068), and no ID token")
	}
	if said.Time("iat").IsZero() && !c.cfg.InsecureSkipIssuedAt { // OpenID Connect Core, section 2
		return invalidf("it has no iat, which every ID token must have; insecureSkipIssuedAt takes those that don't")
	}
	return nil
}

// verifyID returns the claims of an ID token that was made for us (OpenID Connect Core, section 3.1.3.7). An encrypted one is
// replaced by the signed one in it.
func (c *connection) verifyID(ctx context.Context, m *metadata, given *relyingparty.Tokens) (said relyingparty.Claims, err error) {
	if given.ID, err = c.opened(given.ID); err == nil {
		said, err = c.verifySigned(ctx, m, given.ID)
	}
	if err == nil {
		err = c.checkID(given.ID, said)
	}
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	if audience := said.Texts("aud"); !slices.Contains(audience, c.cfg.ClientID) {
		return nil, fmt.Errorf("ID token: %w", invalidf("it was made for %q, not for %q", audience, c.cfg.ClientID))
	}
	if azp, there := said["azp"]; there && azp != c.cfg.ClientID {
		return nil, fmt.Errorf("ID token: %w", invalidf("it was given to %q", azp))
	}
	return said, nil
}

// checkLogin checks what binds an ID token to this login.
func (c *connection) checkLogin(said relyingparty.Claims, nonce string, given *relyingparty.Tokens) error {
	if !c.cfg.InsecureSkipNonce && (nonce == "" || subtle.ConstantTimeCompare([]byte(said.Text("nonce")), []byte(nonce)) != 1) {
		if said.Text("nonce") == "" {
			return errors.New("ID token: it has no nonce, which the provider must send back; if it can't be made to, " +
				"insecureSkipNonce takes such tokens")
		}
		return &connector.BadToken{
			Reason: "it was made for another login", Cause: errors.New("ID token: its nonce is not that of this login"),
		}
	}
	if hash := said.Text("at_hash"); hash != "" && !c.cfg.InsecureSkipAtHash {
		if want, ok := tokenHash(given.ID, given.Access); ok && hash != want {
			return errors.New("ID token: its at_hash is not that of the access token; insecureSkipAtHash takes it all the same")
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
	signed, err := jose.ParseSignedCompact(idToken, relyingparty.Algorithms)
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
