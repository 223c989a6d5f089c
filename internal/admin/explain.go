package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/explain"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/store"
)

// maxFacts bounds the groups and the scopes of a question.
const maxFacts = 10_000

// A LoginQuestion asks what would become of a login.
type LoginQuestion struct {
	ClientID string
	// User is the user's id at the connector, the name, the e-mail address, or the sub of one of their tokens.
	User        string
	ConnectorID string   // empty where only one connector's user is meant
	Scopes      []string // empty for explain.DefaultScopes
	Grant       string   // empty for an authorization code

	Facts Facts
}

// Facts replace what is known of a user, where they are given.
type Facts struct {
	Email, Name, PreferredName string
	EmailVerified              *bool
	Groups                     []string // nil where they are not given
}

func (f *Facts) any() bool {
	return f.Email+f.Name+f.PreferredName != "" || f.EmailVerified != nil || f.Groups != nil
}

// put replaces what is known.
func (f *Facts) put(id *connector.Identity) {
	for to, given := range map[*string]string{&id.Email: f.Email, &id.Username: f.Name, &id.PreferredUsername: f.PreferredName} {
		if given != "" {
			*to = given
		}
	}
	if f.EmailVerified != nil {
		id.EmailVerified = *f.EmailVerified
	}
	if f.Groups != nil {
		id.Groups, id.GroupsTold = f.Groups, true
	}
}

// An ExplainedLogin is what would become of a login.
type ExplainedLogin struct {
	*explain.Explanation
	User Known // with the facts that were given
}

// ExplainLogin says what the policy would decide about a login, and why. Nothing is changed, and no token is made.
func (s *Service) ExplainLogin(ctx context.Context, q LoginQuestion) (*ExplainedLogin, error) {
	if err := allow(ctx, PolicyExplain); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	c, err := s.cfg.Clients.Get(ctx, q.ClientID)
	if err != nil {
		return nil, refusal(err, fmt.Sprintf("client %q", shortened(q.ClientID)))
	}
	if q.ConnectorID != "" { // before anybody is searched for there
		if _, err := s.connector(ctx, q.ConnectorID); err != nil {
			return nil, err
		}
	}
	user, err := s.userOfQuestion(ctx, &q)
	if err != nil {
		return nil, err
	}
	d, err := s.connector(ctx, user.ConnectorID)
	if err != nil {
		return nil, err
	}
	q.Facts.put(&user.Identity)
	if s.cfg.Sessions != nil {
		if user.Blocked, err = s.cfg.Identities.Blocked(store.Latest(ctx), user.Identity.UserID, user.ConnectorID); err != nil {
			return nil, refusal(err, thingOfIdentity(user.Identity.UserID, user.ConnectorID))
		}
	}
	return s.explain(ctx, &q, &c.Value, d, user)
}

func (s *Service) connector(ctx context.Context, id string) (*federation.Definition, error) {
	d, err := s.cfg.Connectors.Get(ctx, id)
	if err != nil {
		return nil, refusal(err, fmt.Sprintf("connector %q", shortened(id)))
	}
	return &d.Value, nil
}

func (s *Service) explain(ctx context.Context, q *LoginQuestion, c *client.Client, d *federation.Definition, user Known) (*ExplainedLogin, error) {
	found, err := s.cfg.Explainer.Explain(ctx, explain.Login{
		Client: c, Connector: d, User: user.Identity, Blocked: user.Blocked, Grant: q.Grant, Scopes: q.Scopes,
	})
	if err != nil {
		return nil, refusal(err, "policy")
	}
	return &ExplainedLogin{found, user}, nil
}

// check refuses what can't be asked, and puts in what is usual where nothing is said.
func (q *LoginQuestion) check() error {
	switch {
	case q.ClientID == "":
		return invalid("client", "must be the ID of a client")
	case q.User == "" || len(q.User) > maxUserID:
		return invalid("user", fmt.Sprintf("must be a user's ID, name or e-mail address, of at most %d bytes", maxUserID))
	case len(q.ConnectorID) > maxUserID:
		return invalid("connector", fmt.Sprintf("must have at most %d bytes", maxUserID))
	case len(q.Scopes) > maxFacts || len(q.Facts.Groups) > maxFacts:
		return Errorf(Invalid, "there may be at most %d scopes and groups", maxFacts)
	}
	if len(q.Scopes) == 0 {
		q.Scopes = explain.DefaultScopes
	}
	if q.Grant == "" {
		q.Grant = oauth.GrantAuthorizationCode
	}
	if !slices.Contains(explain.Grants, q.Grant) {
		return invalid("grant", "must be one of "+strings.Join(explain.Grants, ", "))
	}
	return nil
}
