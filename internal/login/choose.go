package login

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/policy"
	"dex/internal/token"
)

// choose lets the user choose where to log in, or begins at once where there is nothing to choose.
func (f *Flow) choose(v *visit) error {
	c, err := f.clientOf(v.r.Context(), v)
	if err != nil {
		return err
	}
	choice, err := f.choice(v.r.Context(), v, c)
	if err != nil {
		return err
	}
	if len(choice) == 0 {
		return v.refuse(oauth.AccessDenied, "No connector serves this client.", nil)
	}
	if v.ask.ConnectorID != "" {
		i := slices.IndexFunc(choice, func(d *federation.Definition) bool { return d.ID == v.ask.ConnectorID })
		if i < 0 {
			return v.refuse(oauth.InvalidRequest, "The connector_id names no connector that serves this client.", nil)
		}
		return f.begin(v, choice[i])
	}
	if i := hinted(v, choice); i >= 0 {
		return f.begin(v, choice[i])
	}
	said := readSaid(v.r)
	if i := byDomain(v, said, choice); i >= 0 {
		return f.begin(v, choice[i])
	}
	offered := slices.DeleteFunc(slices.Clone(choice), func(d *federation.Definition) bool { return d.Hidden })
	if !f.asksEmail(choice) {
		if len(offered) == 0 {
			return v.refuse(oauth.AccessDenied, "All connectors that serve this client are hidden; it must name one by connector_id.", nil)
		}
		if len(offered) == 1 && !f.cfg.AlwaysShowChoice {
			return f.begin(v, offered[0])
		}
	}
	return f.showChoice(v, c, said, choice, offered)
}

// choice returns the connectors through which users may sign in to a client.
func (f *Flow) choice(ctx context.Context, v *visit, c *client.Client) ([]*federation.Definition, error) {
	all, err := f.cfg.Connectors.List(ctx)
	if err != nil {
		return nil, err
	}
	var choice []*federation.Definition
	for _, d := range all {
		if !d.BeginsLogins() {
			continue
		}
		_, err := f.cfg.Policy.Decide(ctx, v.question(policy.BeforeSource, c, d))
		switch {
		case err == nil:
			choice = append(choice, d)
		case !refusedBy(err, policy.RuleConnector):
			return nil, v.refusal(err)
		}
	}
	return choice, nil
}

// hinted returns which of the connectors the user whom the application expects has signed in through before; -1 for none,
// and where the user is to choose anew.
func hinted(v *visit, choice []*federation.Definition) int {
	if v.ask.Subject == "" || slices.Contains(v.ask.Prompt, "select_account") {
		return -1
	}
	_, connectorID, err := token.ReadSubject(v.ask.Subject)
	if err != nil {
		return -1
	}
	return slices.IndexFunc(choice, func(d *federation.Definition) bool { return d.ID == connectorID })
}

// otherWay leads to the choice of connectors.
const otherWay = "Log in another way"

// beginWith begins a login through the connector that the address names.
func (f *Flow) beginWith(v *visit) error {
	ctx := v.r.Context()
	d, err := f.definition(ctx, v.wanted)
	if err != nil {
		return err
	}
	if d == nil || !d.BeginsLogins() {
		return page.Errorf(http.StatusBadRequest, "There is no such way to log in.").
			Hint("Choose another one.").Retry(f.page.Path("/auth", f.repeat(v)), otherWay)
	}
	c, err := f.clientOf(ctx, v)
	if err != nil {
		return err
	}
	_, err = f.cfg.Policy.Decide(ctx, v.question(policy.BeforeSource, c, d))
	if refusedBy(err, policy.RuleConnector) {
		return page.Errorf(http.StatusForbidden, "The application doesn't accept this way to log in.").
			Hint("Choose another one.").Retry(f.page.Path("/auth", f.repeat(v)), otherWay).Because(err)
	}
	if err != nil {
		return v.refusal(err)
	}
	if email := readSaid(v.r).email; federation.DomainOf(email) != "" {
		v.says(email)
	}
	return f.begin(v, d)
}

// connectorPath returns the path that begins a login through a connector. The id is encoded once.
func connectorPath(id string) string { return "/auth/" + url.PathEscape(id) }
