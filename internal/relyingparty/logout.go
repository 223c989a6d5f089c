package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/connector"
)

// A Logout ends sessions at a provider of OpenID Connect, and hears of those that end there. Connectors embed it.
type Logout struct {
	Discovery *Discovery
	Tokens    *IDTokens
	// IsIssuer reports whether the provider, or one of its tenants, calls itself so; nil for the issuers of Discovery and Tokens.
	IsIssuer func(iss string) bool
	// Opened returns the signed token in an encrypted one, and any other token as it is; nil where none is encrypted.
	Opened func(token string) (string, error)
	Env    connector.Env
}

var (
	_ connector.Logout         = (*Logout)(nil)
	_ connector.LogoutReceiver = (*Logout)(nil)
)

const (
	// maxHint bounds an ID token that is sent back to the provider: with the rest of the address it has to fit into 8 KiB, which
	// is what common servers read.
	maxHint = 6 << 10
	// maxSessionID bounds a sid, in bytes.
	maxSessionID = 1 << 10
	// lateness is how far apart the clocks of the provider and ours may be where a logout is compared with the beginning of a
	// session. A session that a late message ends wrongly is begun again; one that goes on is not noticed.
	lateness = time.Minute
)

// SessionOf returns the session that an ID token is from, which was verified.
func SessionOf(said Claims, idToken string) connector.SourceSession {
	s := connector.SourceSession{ID: said.Text("sid"), Subject: said.Text("sub")}
	if len(s.ID) > maxSessionID {
		s.ID = ""
	}
	if len(idToken) <= maxHint {
		s.Data = []byte(idToken)
	}
	return s
}

// LogoutURL implements connector.Logout (OpenID Connect RP-Initiated Logout, section 2).
func (l *Logout) LogoutURL(ctx context.Context, r connector.LogoutRequest) (connector.Redirect, error) {
	m, err := l.Discovery.Get(ctx)
	if err != nil || m.EndSessionURL == "" {
		return connector.Redirect{}, err
	}
	params := url.Values{"post_logout_redirect_uri": {r.ReturnURL}, "client_id": {l.Tokens.ClientID}}
	if r.State != "" {
		params.Set("state", r.State)
	}
	if len(r.Session.Data) > 0 {
		params.Set("id_token_hint", string(r.Session.Data))
	}
	target, err := WithParams(m.EndSessionURL, params)
	if err != nil {
		return connector.Redirect{}, fmt.Errorf("end_session_endpoint: %w", err)
	}
	return connector.Redirect{URL: target}, nil
}

// HandleLogout implements connector.Logout.
func (l *Logout) HandleLogout(_ context.Context, r connector.Return) error {
	if r.Request.URL.Query().Get("state") != r.State {
		return errors.New("the provider's answer to the logout has another state")
	}
	return nil
}

// ReceiveLogout implements connector.LogoutReceiver: a POST is the provider's (OpenID Connect Back-Channel Logout), a GET the
// browser's (OpenID Connect Front-Channel Logout).
func (l *Logout) ReceiveLogout(ctx context.Context, r *http.Request) (connector.SourceLogout, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := l.Discovery.Get(ctx)
	if err != nil {
		return connector.SourceLogout{}, err
	}
	if r.Method == http.MethodPost {
		return l.backChannel(ctx, m, r.PostForm["logout_token"])
	}
	return l.frontChannel(m, r.URL.Query())
}

func (l *Logout) backChannel(ctx context.Context, m *Metadata, tokens []string) (connector.SourceLogout, error) {
	if len(tokens) != 1 {
		return connector.SourceLogout{}, &connector.BadToken{Reason: "the form must have one logout_token"}
	}
	said, err := l.verify(ctx, m, tokens[0])
	if err != nil {
		return connector.SourceLogout{}, fmt.Errorf("logout token: %w", AsBadToken(err))
	}
	first, err := l.Env.Once(ctx, "logout token "+l.Env.ID+" "+said.ID, said.Expires)
	if err != nil {
		return connector.SourceLogout{}, &connector.Temporary{Cause: fmt.Errorf("can't tell whether the logout token is new: %w", err)}
	}
	if !first {
		return connector.SourceLogout{}, &connector.BadToken{Reason: "the logout token has been used before"}
	}
	ended := connector.SourceLogout{Subject: said.Subject, Before: said.Issued.Add(max(lateness, l.Tokens.Skew))}
	if said.Session != "" {
		ended.Sessions = []string{said.Session}
	}
	return ended, nil
}

func (l *Logout) verify(ctx context.Context, m *Metadata, token string) (*LogoutToken, error) {
	if len(token) > maxLogoutToken {
		return nil, invalidf("it is longer than %d bytes", maxLogoutToken)
	}
	if l.Opened != nil {
		var err error
		if token, err = l.Opened(token); err != nil {
			return nil, err
		}
	}
	return l.Tokens.VerifyLogout(ctx, m, token)
}

// frontChannel reads what nobody has signed. A sid is known to few. Without one, everybody could sign out whoever follows their
// link, so that it is left out only by providers that say that they don't know any.
func (l *Logout) frontChannel(m *Metadata, query url.Values) (connector.SourceLogout, error) {
	iss, sid := query["iss"], query["sid"]
	switch {
	case len(iss) > 1 || len(sid) > 1:
		return connector.SourceLogout{}, &connector.BadToken{Reason: "the message has iss or sid twice"}
	case len(iss) == 1 && !l.isIssuer(m, iss[0]):
		return connector.SourceLogout{}, &connector.BadToken{
			Reason: "the message is another provider's", Cause: fmt.Errorf("its iss is %q, not %q", short(iss[0]), m.Issuer),
		}
	case len(sid) == 1 && (sid[0] == "" || len(sid[0]) > maxSessionID):
		return connector.SourceLogout{}, &connector.BadToken{Reason: "the message's sid is empty, or too long"}
	}
	if len(sid) == 0 && (!m.FrontChannelLogout || m.FrontChannelSessions) {
		return connector.SourceLogout{}, &connector.BadToken{
			Reason: "the message has no sid: let the provider send the session along (frontchannel_logout_session_required)",
		}
	}
	return connector.SourceLogout{Sessions: slices.Clone(sid), Browser: true, Unsigned: true}, nil
}

func (l *Logout) isIssuer(m *Metadata, iss string) bool {
	if l.IsIssuer != nil {
		return l.IsIssuer(iss)
	}
	return iss == m.Issuer || iss == l.Tokens.Issuer
}
