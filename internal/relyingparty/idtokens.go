package relyingparty

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
)

// An InvalidToken is one that its issuer has signed and that is of no use here. The reason is for whoever presented it.
type InvalidToken struct{ Reason string }

// Error implements error.
func (i *InvalidToken) Error() string { return i.Reason }

func invalidf(format string, args ...any) error { return &InvalidToken{fmt.Sprintf(format, args...)} }

// IDTokens are the rules for the tokens by which a provider says who somebody is (OpenID Connect Core, section 3.1.3.7). An error
// that is ErrForged or an *InvalidToken is the token's fault.
type IDTokens struct {
	Keys     *Keys
	ClientID string // for whom ID tokens must be made
	// Issuer is what tokens have as iss. IssuerFor returns it where it depends on the token; nil where it doesn't.
	Issuer    string
	IssuerFor func(Claims) string
	Skew      time.Duration // for how long tokens count that have expired

	// Checks that are left out. Where they are settings, Switches lets errors name them.
	SkipIssuedAt, SkipNonce, SkipAtHash bool
	Switches                            bool
}

// notBeforeLeeway is how far a token may be valid in the future only.
const notBeforeLeeway = 5 * time.Minute

// Signed returns the claims of a token of the provider that is valid now and says who somebody is. Whom it is for is not
// checked.
func (t *IDTokens) Signed(ctx context.Context, m *Metadata, token string) (Claims, error) {
	said, err := t.Keys.Verify(ctx, m.JWKSURL, token, m.IDAlgorithms())
	if err != nil {
		return nil, err
	}
	if err := t.CheckIssuer(said); err != nil {
		return nil, err
	}
	now := time.Now()
	expires := said.Time("exp")
	if expires.IsZero() {
		return nil, invalidf("it has no exp, or none that is a time")
	}
	if now.After(expires.Add(t.Skew)) {
		return nil, invalidf("it has expired; get a new one")
	}
	if from := said.Time("nbf"); from.After(now.Add(notBeforeLeeway)) {
		return nil, invalidf("it is not valid yet")
	}
	if said.Text("sub") == "" {
		return nil, invalidf("it has no sub, so that it says of nobody who they are")
	}
	return said, CheckPurpose(token, said)
}

// CheckIssuer refuses what another provider has signed.
func (t *IDTokens) CheckIssuer(said Claims) error {
	const schemeless = "accounts.google.com" // as Google's old tokens have it
	expected := t.Issuer
	if t.IssuerFor != nil {
		expected = t.IssuerFor(said)
	}
	if iss := said.Text("iss"); iss != expected && (iss != schemeless || expected != "https://"+schemeless) {
		return invalidf("its issuer is %q, not %q", iss, expected)
	}
	return nil
}

// CheckPurpose refuses tokens that don't say who somebody is, though the same keys have signed them.
func CheckPurpose(token string, said Claims) error {
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
	header, err := ReadEncoded(first)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(header.Text("typ")), "application/")
}

// SignedID returns the claims of an ID token. Whom it is for is not checked.
func (t *IDTokens) SignedID(ctx context.Context, m *Metadata, token string) (Claims, error) {
	said, err := t.Signed(ctx, m, token)
	if err != nil {
		return nil, err
	}
	if tokenType(token) == accessTokenType {
		return nil, invalidf("it is an access token (RFC 9068), and no ID token")
	}
	if said.Time("iat").IsZero() && !t.SkipIssuedAt { // OpenID Connect Core, section 2
		return nil, invalidf("it has no iat, which every ID token must have%s", t.hint("; insecureSkipIssuedAt takes those that don't"))
	}
	return said, nil
}

// Verify returns the claims of an ID token that was made for us.
func (t *IDTokens) Verify(ctx context.Context, m *Metadata, token string) (Claims, error) {
	said, err := t.SignedID(ctx, m, token)
	if err != nil {
		return nil, err
	}
	return said, t.checkReceiver(said)
}

// checkReceiver refuses tokens that were not made for us.
func (t *IDTokens) checkReceiver(said Claims) error {
	if audience := said.Texts("aud"); !slices.Contains(audience, t.ClientID) {
		return invalidf("it was made for %q, not for %q", audience, t.ClientID)
	}
	if azp, there := said["azp"]; there && azp != t.ClientID {
		return invalidf("it was given to %q", azp)
	}
	return nil
}

// CheckLogin checks that an ID token belongs to the login in which the nonce was sent, and to the access token beside it.
func (t *IDTokens) CheckLogin(said Claims, nonce string, given *Tokens) error {
	if !t.SkipNonce && (nonce == "" || subtle.ConstantTimeCompare([]byte(said.Text("nonce")), []byte(nonce)) != 1) {
		if said.Text("nonce") == "" {
			return fmt.Errorf("ID token: it has no nonce, which the provider must send back%s",
				t.hint("; if it can't be made to, insecureSkipNonce takes such tokens"))
		}
		return &connector.BadToken{
			Reason: "it was made for another login", Cause: errors.New("ID token: its nonce is not that of this login"),
		}
	}
	return t.CheckAccess(said, given)
}

// CheckAccess checks that an ID token belongs to the access token beside it, as far as it says so.
func (t *IDTokens) CheckAccess(said Claims, given *Tokens) error {
	hash := said.Text("at_hash")
	if hash == "" || t.SkipAtHash {
		return nil
	}
	if want, ok := tokenHash(given.ID, given.Access); ok && hash != want {
		return fmt.Errorf("ID token: its at_hash is not that of the access token%s", t.hint("; insecureSkipAtHash takes it all the same"))
	}
	return nil
}

// hint returns a part of an error that names a switch, if there is one.
func (t *IDTokens) hint(text string) string {
	if !t.Switches {
		return ""
	}
	return text
}

// tokenHash returns what an ID token has as at_hash (OpenID Connect Core, section 3.1.3.6); false for an algorithm whose
// hash is not settled.
func tokenHash(idToken, accessToken string) (string, bool) {
	signed, err := jose.ParseSignedCompact(idToken, Algorithms)
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

// GivenAway reports whether an ID token that was made for us and others was given to one of the others (azp).
func GivenAway(said Claims, isOurs func(client string) bool) bool {
	_, there := said["azp"]
	return there && len(said.Texts("aud")) > 1 && !isOurs(said.Text("azp"))
}

// AsRefreshed returns what an error about a token is that the provider gave at a refresh: one that can't be verified does not
// get better by asking again, so that the user has to sign in anew (RFC 6749, section 5.2).
func AsRefreshed(err error) error { return GoneIfUnknown(AsBadToken(err)) }

// AsBadToken returns an error that is the token's fault as a *connector.BadToken.
func AsBadToken(err error) error {
	if useless, ok := errors.AsType[*InvalidToken](err); ok {
		return &connector.BadToken{Reason: useless.Reason, Cause: err}
	}
	if errors.Is(err, ErrForged) {
		return &connector.BadToken{Reason: ErrForged.Error(), Cause: err}
	}
	return err
}
