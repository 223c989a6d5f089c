package linkedin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// member is what LinkedIn says of somebody.
type member struct {
	id, name, email string
	verified        bool
}

// identify asks who holds an access token.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, _ connector.Scopes, _ *relyingparty.Tokens,
) (connector.Identity, error) {
	ask := c.legacy
	if c.cfg.Mode == modeOpenID {
		ask = c.userInfo
	}
	m, err := ask(ctx, calls)
	if err != nil {
		return connector.Identity{}, permitted(err)
	}
	if m.id != "" && m.email == "" {
		return connector.Identity{}, &connector.Unusable{
			Reason: "Your LinkedIn account has no email address.", Claim: "email", Cause: errors.New("the answer has no e-mail address"),
		}
	}
	return connector.Identity{UserID: m.id, Username: cmp.Or(m.name, m.email), Email: m.email, EmailVerified: m.verified}, nil
}

// permitted returns what a refusal is whose token is good for less: that of a login before the mode was changed, which only
// another login helps.
func permitted(err error) error {
	refused, ok := errors.AsType[*relyingparty.BearerError](err)
	if ok && refused.Status == http.StatusForbidden && connector.OutcomeOf(err) == connector.Broken {
		return &connector.Unusable{Reason: "LinkedIn doesn't show us your profile.", Cause: err}
	}
	return err
}

// userInfo asks in the way of OpenID Connect.
func (c *connection) userInfo(ctx context.Context, calls *relyingparty.Calls) (member, error) {
	var said struct {
		Sub           relyingparty.ID `json:"sub"`
		Name          string          `json:"name"`
		GivenName     string          `json:"given_name"`
		FamilyName    string          `json:"family_name"`
		Email         string          `json:"email"`
		EmailVerified any             `json:"email_verified"`
	}
	if err := calls.GetJSON(ctx, c.cfg.APIURL+"/userinfo", &said); err != nil {
		return member{}, fmt.Errorf("userinfo: %w", err)
	}
	return member{
		id: string(said.Sub), name: cmp.Or(said.Name, fullName(said.GivenName, said.FamilyName)), email: said.Email,
		verified: said.EmailVerified == true || said.EmailVerified == "true", // a text in LinkedIn's ID tokens
	}, nil
}

// legacy asks in the way of before OpenID Connect.
func (c *connection) legacy(ctx context.Context, calls *relyingparty.Calls) (member, error) {
	var me struct {
		ID        relyingparty.ID `json:"id"`
		FirstName string          `json:"localizedFirstName"`
		LastName  string          `json:"localizedLastName"`
	}
	var addresses struct {
		Elements []struct {
			Handle struct {
				Email string `json:"emailAddress"`
			} `json:"handle~"`
		} `json:"elements"`
	}
	asking, ctx := errgroup.WithContext(ctx)
	asking.Go(func() error {
		if err := calls.GetJSON(ctx, c.cfg.APIURL+"/me", &me); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		return nil
	})
	asking.Go(func() error {
		// LinkedIn wants the parentheses as they are.
		if err := calls.GetJSON(ctx, c.cfg.APIURL+"/emailAddress?q=members&projection=(elements*(handle~))", &addresses); err != nil {
			return fmt.Errorf("e-mail address: %w", err)
		}
		return nil
	})
	if err := asking.Wait(); err != nil {
		return member{}, err
	}
	m := member{id: string(me.ID), name: fullName(me.FirstName, me.LastName)}
	for _, element := range addresses.Elements { // there is one, the primary address
		m.email = cmp.Or(element.Handle.Email, m.email)
	}
	m.verified = m.email != ""
	return m, nil
}

func fullName(first, last string) string { return strings.TrimSpace(first + " " + last) }

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, s connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	return c.Holder(ctx, s, t, func(ctx context.Context, _ *relyingparty.Calls) error {
		said, err := c.us.Introspect(ctx, relyingparty.Endpoint{URL: c.cfg.BaseURL + "/introspectToken"}, t.Token)
		refused, ok := errors.AsType[*relyingparty.Refusal](err)
		switch {
		case errors.Is(err, relyingparty.ErrInactive), ok && refused.Status == http.StatusBadRequest:
			return &connector.BadToken{Reason: "LinkedIn says that it is not active; it may have expired", Cause: err}
		case err != nil:
			return err
		case said.Text("client_id") != c.cfg.ClientID:
			return &connector.BadToken{Reason: fmt.Sprintf("it was made for %q, not for %q", said.Text("client_id"), c.cfg.ClientID)}
		}
		return nil
	})
}
