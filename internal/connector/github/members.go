package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// membership is what GitHub says of a user and an organization.
type membership struct {
	active  bool
	refused error // why GitHub does not say; nil if it does
}

// membership asks whether the user is a member of an organization.
func (l *lookup) membership(ctx context.Context, org string) (membership, error) {
	answer, err := l.calls.Do(ctx, http.MethodGet, l.api+"/user/memberships/orgs/"+url.PathEscape(org), nil)
	if err != nil {
		return membership{}, fmt.Errorf("member of %s: %w", org, err)
	}
	switch answer.Status {
	case http.StatusOK:
		var said struct {
			State string `json:"state"` // pending as long as an invitation is not accepted
			Org   struct {
				Login string `json:"login"`
			} `json:"organization"`
		}
		if err := relyingparty.DecodeAnswer(answer, &said); err != nil {
			return membership{}, fmt.Errorf("member of %s: %w", org, err)
		}
		return membership{active: said.State == "active" && settings.SameName(said.Org.Login, org)}, nil
	case http.StatusNotFound:
		return membership{}, nil
	}
	refused := relyingparty.AnswerError(answer)
	if answer.Status != http.StatusForbidden || connector.OutcomeOf(refused) == connector.Unavailable {
		return membership{}, fmt.Errorf("member of %s: %w", org, refused)
	}
	return membership{refused: l.obstacle(org, answer, refused)}, nil
}

// obstacle returns why GitHub does not tell us about an organization: a *connector.Denied where the user, or an owner of the
// organization, can do something about it.
func (l *lookup) obstacle(org string, answer *outbound.Answer, refused error) error {
	cause := fmt.Errorf("member of %s: %w", org, refused)
	page := l.web + "/settings/connections/applications/" + url.PathEscape(l.cfg.ClientID)
	switch {
	case strings.HasPrefix(answer.Header.Get(ssoHeader), "required"):
		return &connector.Denied{Cause: cause, Reason: fmt.Sprintf("The organization %s uses single sign-on. Sign in to it at %s/orgs/%s/sso, "+
			"then log in here again. If you see this once more, authorize this application for the organization at %s first.",
			org, l.web, url.PathEscape(org), page)}
	case strings.Contains(refused.Error(), "OAuth App access restrictions"):
		return &connector.Denied{Cause: cause, Reason: fmt.Sprintf("The organization %s has not authorized this application. "+
			"Ask for that at %s, and log in again when an owner of the organization has agreed.", org, page)}
	}
	return cause
}

// ssoHeader says that GitHub leaves out what a user may see only after they have signed in to an organization.
const ssoHeader = "X-GitHub-SSO"

// refusal returns why a user may not log in: if there is one, what keeps GitHub from telling us. A list of teams has no word of
// organizations that are closed to us, so those are asked for here.
func (l *lookup) refusal(ctx context.Context, orgs settings.Orgs, answers []membership, teams *teamList) error {
	var lookups errgroup.Group
	for i, org := range orgs {
		if len(org.Teams) > 0 {
			lookups.Go(func() error {
				answers[i], _ = l.membership(ctx, org.Name) // the user is refused in any case
				return nil
			})
		}
	}
	_ = lookups.Wait() // which has no errors
	var broken error
	var misses []string
	for i, a := range answers {
		if _, ok := errors.AsType[*connector.Denied](a.refused); ok {
			return a.refused
		}
		if broken == nil {
			broken = a.refused
		}
		misses = append(misses, miss(orgs[i], a, teams)) //nolint:gosec // G602: there is an answer for each
	}
	if broken != nil {
		return broken
	}
	denied := settings.NotInOrgs(nil)
	denied.Cause = fmt.Errorf("%s %s", l.login, strings.Join(misses[:min(len(misses), shown)], ", "))
	if teams.partial != "" {
		denied.Reason = "You are not in an organization or a team that may log in here, or have to sign in to it at GitHub first."
		denied.Cause = fmt.Errorf("%w; GitHub leaves out organizations (%s: %s)", denied.Cause, ssoHeader, teams.partial)
	}
	return denied
}

// shown is how many names of a kind the log has.
const shown = 20

// miss returns why an entry of orgs does not let somebody in.
func miss(org settings.Org, a membership, teams *teamList) string {
	if !a.active {
		return fmt.Sprintf("is not a member of %q", org.Name)
	}
	var names []string
	for _, t := range teams.of(org.Name) {
		names = append(names, t.Name)
	}
	return fmt.Sprintf("is in no listed team of %q, but in %q", org.Name, names[:min(len(names), shown)])
}
