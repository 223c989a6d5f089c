package admin

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/token"
)

// An Entry lets a caller in. Exactly one of Certificate, Token and ServiceAccount is set.
type Entry struct {
	Name           string
	Roles          []Role
	Certificate    *CertificateRule
	Token          *TokenRule
	ServiceAccount *ServiceAccount
}

// A CertificateRule is about a client certificate whose authority has been verified. All that is set must match.
type CertificateRule struct {
	CommonName string
	DNSName    string
	URI        string
	SHA256     string // hexadecimal digits, perhaps with colons
}

// A TokenRule is about an ID token that we issued to a client for a member of one of the groups.
type TokenRule struct {
	Client string
	Groups []string
}

// A ServiceAccount is one of a Kubernetes cluster.
type ServiceAccount struct{ Namespace, Name string }

// AccessConfig is who may call.
type AccessConfig struct {
	Issuer   string
	Entries  []Entry
	Tokens   *Tokens // the admin tokens; nil if they are not accepted
	Verifier *token.Verifier
	// ClientExists reports whether there is a client, past any cache. Entries with a Token need it.
	ClientExists func(ctx context.Context, id string) (bool, error)
	// Review asks the cluster whose token a service account's is. It fails with ErrNotReviewed if the cluster doesn't know the token.
	Review func(ctx context.Context, bearer string) (ServiceAccount, error)
}

// ErrNotReviewed says that a cluster refuses a token.
var ErrNotReviewed = errors.New("the cluster refuses the token")

// Access finds out who calls. It is safe for concurrent use.
type Access struct {
	cfg          AccessConfig
	certificates bool // some entries are about certificates
	accounts     bool // some entries are about service accounts
}

// NewAccess returns an Access.
func NewAccess(cfg AccessConfig) *Access {
	return &Access{
		cfg:          cfg,
		certificates: slices.ContainsFunc(cfg.Entries, func(e Entry) bool { return e.Certificate != nil }),
		accounts:     slices.ContainsFunc(cfg.Entries, func(e Entry) bool { return e.ServiceAccount != nil }),
	}
}

// Guarded reports whether callers have to show who they are, even where the door asks for no certificates.
func (a *Access) Guarded() bool { return len(a.cfg.Entries) > 0 || a.cfg.Tokens != nil }

// Bearers reports whether there are tokens that callers can show instead of a certificate.
func (a *Access) Bearers() bool {
	return a.cfg.Tokens != nil || slices.ContainsFunc(a.cfg.Entries, func(e Entry) bool { return e.Certificate == nil })
}

// Shown is what a caller has shown at a door.
type Shown struct {
	Certificate *x509.Certificate // whose authority the door has verified; nil for none
	Mutual      bool              // the door verifies certificates
	Local       bool              // strangers can't reach the door, or may come in
	Bearer      string            // a token; empty for none
}

// Caller returns who calls. The error is Unauthenticated, Forbidden for somebody who is known and may do nothing, or Unavailable.
func (a *Access) Caller(ctx context.Context, s Shown) (Caller, error) {
	switch {
	case s.Bearer != "":
		return a.bearer(ctx, s.Bearer)
	case s.Certificate != nil:
		return a.certificate(s.Certificate)
	case s.Local && !s.Mutual && !a.Guarded():
		return Caller{Name: "anonymous", Roles: []Role{RoleAll}}, nil
	}
	return Caller{}, &Error{Reason: Unauthenticated, Message: "show a client certificate or a bearer token"}
}

// certificate returns whose certificate one is. As with upstream, it stands for everything unless some entry is about certificates.
func (a *Access) certificate(c *x509.Certificate) (Caller, error) {
	subject := "certificate " + c.Subject.String()
	if time.Now().After(c.NotAfter) { // TLS has looked at it when the connection began
		return Caller{Name: subject}, &Error{Reason: Unauthenticated, Message: "the client certificate has expired"}
	}
	if !a.certificates {
		return Caller{Name: subject, Roles: []Role{RoleAll}}, nil
	}
	return a.matching(subject, func(e *Entry) bool { return e.Certificate != nil && e.Certificate.matches(c) })
}

func (r *CertificateRule) matches(c *x509.Certificate) bool {
	sum := sha256.Sum256(c.Raw)
	uris := make([]string, len(c.URIs))
	for i, u := range c.URIs {
		uris[i] = u.String()
	}
	return *r != CertificateRule{} &&
		(r.CommonName == "" || r.CommonName == c.Subject.CommonName) &&
		(r.DNSName == "" || slices.Contains(c.DNSNames, r.DNSName)) &&
		(r.URI == "" || slices.Contains(uris, r.URI)) &&
		(r.SHA256 == "" || strings.EqualFold(strings.ReplaceAll(r.SHA256, ":", ""), hex.EncodeToString(sum[:])))
}

// bearer returns whose token one is.
func (a *Access) bearer(ctx context.Context, text string) (Caller, error) {
	if strings.HasPrefix(text, tokenPrefix) {
		if a.cfg.Tokens == nil {
			return Caller{}, &Error{Reason: Unauthenticated, Message: "admin tokens are not accepted; api.adminTokens would accept them"}
		}
		return a.cfg.Tokens.caller(ctx, text)
	}
	if a.accounts && issuerOf(text) != a.cfg.Issuer {
		return a.serviceAccount(ctx, text)
	}
	return a.idToken(ctx, text)
}

// issuerOf returns the issuer that a token names, which nobody has verified.
func issuerOf(text string) string {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	payload, err := decodeSegment(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// idToken returns whose ID token one is.
func (a *Access) idToken(ctx context.Context, text string) (Caller, error) {
	v, err := a.cfg.Verifier.Verify(ctx, text)
	switch {
	case errors.Is(err, token.ErrRefused):
		return Caller{}, &Error{Reason: Unauthenticated, Message: errBadToken.Message, Err: err}
	case err != nil:
		return Caller{}, refusal(err, "bearer token")
	case v.IsAccessToken():
		return Caller{}, &Error{Reason: Unauthenticated, Message: "the bearer token is an access token; an ID token is needed"}
	}
	if err := a.checkClient(ctx, v.Client()); err != nil {
		return Caller{}, err
	}
	switch err := a.cfg.Verifier.Complete(ctx, &v); {
	case errors.Is(err, token.ErrRefused):
		return Caller{}, &Error{Reason: Unauthenticated, Message: errBadToken.Message, Err: err}
	case err != nil:
		return Caller{}, refusal(err, "bearer token")
	}
	who := "user " + v.Email
	if v.Email == "" {
		who = "user " + v.Subject
	}
	return a.matching(who, func(e *Entry) bool {
		return e.Token != nil && v.Client() == e.Token.Client && slices.Contains(v.Audience, e.Token.Client) &&
			slices.ContainsFunc(e.Token.Groups, func(group string) bool { return slices.Contains(v.Groups, group) })
	})
}

// checkClient refuses the tokens of a client that was removed. They have not been revoked one by one.
func (a *Access) checkClient(ctx context.Context, id string) error {
	if !slices.ContainsFunc(a.cfg.Entries, func(e Entry) bool { return e.Token != nil && e.Token.Client == id }) {
		return nil // matching refuses it, without a question to the storage
	}
	exists, err := a.cfg.ClientExists(ctx, id)
	switch {
	case err != nil:
		return refusal(err, "client of the bearer token")
	case !exists:
		return errBadToken
	}
	return nil
}

// serviceAccount returns whose service account token one is.
func (a *Access) serviceAccount(ctx context.Context, text string) (Caller, error) {
	account, err := a.cfg.Review(ctx, text)
	switch {
	case errors.Is(err, ErrNotReviewed):
		return Caller{}, &Error{Reason: Unauthenticated, Message: errBadToken.Message, Err: err}
	case err != nil:
		return Caller{}, &Error{Reason: Unavailable, Message: "the cluster can't be asked about the bearer token", Err: err}
	}
	who := fmt.Sprintf("service account %s/%s", account.Namespace, account.Name)
	return a.matching(who, func(e *Entry) bool { return e.ServiceAccount != nil && *e.ServiceAccount == account })
}

// matching returns a caller with the roles of all entries that match.
func (a *Access) matching(who string, match func(*Entry) bool) (Caller, error) {
	c := Caller{Name: who}
	for i := range a.cfg.Entries {
		e := &a.cfg.Entries[i]
		if !match(e) {
			continue
		}
		if len(c.Roles) == 0 {
			c.Name = e.Name + ": " + who
		}
		c.Roles = append(c.Roles, e.Roles...)
	}
	if len(c.Roles) == 0 {
		return c, &Error{Reason: Forbidden, Message: who + " is in no entry of api.access"}
	}
	return c, nil
}
