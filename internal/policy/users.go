package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/rule"
)

// A Reason is why a user is refused, for logs and metrics; its text is stable.
type Reason string

// Why users are refused.
const (
	NotInGroup      Reason = "group_missing"
	InDeniedGroup   Reason = "group_denied"
	GroupsUnknown   Reason = "groups_unknown" // the source was not asked at the login
	EmailRefused    Reason = "email_refused"
	EmailUnverified Reason = "email_unverified"
	ByExpression    Reason = "expression"
	ExpressionFails Reason = "expression_failed"
)

// denied is a refusal of a user. The message is the operator's, if there is one; the cause is for the log.
func (q *Question) denied(why Reason, message string, cause error) error {
	description := "The user may not use this client."
	switch {
	case why == GroupsUnknown:
		description = "The user has to log in again: their groups are not known."
	case message != "":
		description = message
	}
	return &Refusal{Rule: q.rule, Reason: why, Message: message, Err: oauth.Errorf(q.deniedCode(), "%s", description).Because(&refusedFor{why, cause})}
}

// refusedFor is the cause of a refusal, with the word for it.
type refusedFor struct {
	why   Reason
	cause error
}

func (r *refusedFor) Error() string         { return r.cause.Error() }
func (r *refusedFor) Unwrap() error         { return r.cause }
func (r *refusedFor) RefusalReason() string { return "policy_" + string(r.why) }

// deniedCode is what an application is told that can't have a user.
func (q *Question) deniedCode() string {
	if q.Login || q.Grant == oauth.GrantDeviceCode {
		return oauth.AccessDenied // RFC 6749, section 4.1.2.1, and RFC 8628, section 3.5
	}
	return oauth.InvalidGrant
}

// NeedsGroups implements Decider.
func (p *Policy) NeedsGroups(c *client.Client, d *federation.Definition) bool {
	if len(c.AllowedGroups)+len(c.DeniedGroups)+len(d.RequireGroups) > 0 {
		return true
	}
	ofConnector, ofClient := ofConnector(d), ofClient(c)
	return p.needsGroups(&p.global) || p.needsGroups(&ofConnector) || p.needsGroups(&ofClient)
}

// checkUser refuses users whom their connector or the client doesn't let in.
func checkUser(_ context.Context, p *Policy, q *Question, d *Decision) error {
	if !hasUser(q.Grant) {
		return nil
	}
	if q.User == nil || q.Connector == nil {
		return errors.New("the policy was not told who the user is")
	}
	if !q.User.GroupsTold && !slices.Contains(q.Scopes, oauth.ScopeGroups) && p.NeedsGroups(q.Client, q.Connector) {
		return q.denied(GroupsUnknown, "", errors.New("the source was not asked for the groups, as nothing needed them then"))
	}
	user := *q.User
	user.Groups = p.groupsFrom(q)
	d.user = &user
	if err := p.checkSource(q, &user); err != nil {
		return err
	}
	return p.checkAccess(q, &user)
}

// groupsFrom returns the user's groups as the connector has them called.
func (p *Policy) groupsFrom(q *Question) []string {
	where := "connector " + q.Connector.ID + ": groups"
	kept, refused := p.changeOf(q.Connector).Apply(q.User.Groups)
	if len(refused) > 0 {
		q.note(where, Changed, "left out, as they mean something to Kubernetes (allowSystem): %q", shown(refused))
	}
	if q.Trace != nil && q.Connector.Groups != nil {
		q.note(where, Changed, "%d of the source's %d groups are kept: %q", len(kept), len(q.User.Groups), shown(kept))
	}
	return kept
}

// changeOf returns what becomes of the groups of a connector's users. Those of our own database are the operator's.
func (p *Policy) changeOf(d *federation.Definition) *rule.GroupChange {
	switch g := d.Groups; {
	case d.Type == federation.LocalID:
		return &rule.GroupChange{}
	case g == nil:
		return rule.Guarded
	default:
		return p.sourceChanges.of(g, func() *rule.GroupChange { return rule.NewSourceGroupChange(g) })
	}
}

// checkSource refuses users whom the connector doesn't let in.
func (p *Policy) checkSource(q *Question, user *connector.Identity) error {
	s, where := &q.Connector.Source, "connector "+q.Connector.ID
	if err := p.checkEmail(q, user, where+": allowedDomains", nil, s.AllowedDomains); err != nil {
		return err
	}
	if len(s.RequireGroups) == 0 {
		return nil
	}
	err := p.checkIn(q, user, where+": requireGroups", s.RequireGroups)
	if no, ok := errors.AsType[*Refusal](err); ok {
		no.Everywhere = true
	}
	return err
}

// checkAccess refuses users whom the client doesn't let in.
func (p *Policy) checkAccess(q *Question, user *connector.Identity) error {
	a, where := &q.Client.Access, "client "+q.Client.ID
	if len(a.DeniedGroups) > 0 {
		if group, in := p.setOf(a.DeniedGroups).First(user.Groups); in {
			q.note(where+": deniedGroups", Refused, "the user is in %q", group)
			return q.denied(InDeniedGroup, "", fmt.Errorf("%s: deniedGroups has the user's group %q", where, group))
		}
		q.note(where+": deniedGroups", Passed, "the user is in none of them")
	}
	if len(a.AllowedGroups) > 0 {
		if err := p.checkIn(q, user, where+": allowedGroups", a.AllowedGroups); err != nil {
			return err
		}
	}
	return p.checkEmail(q, user, where+": "+emailSettings(a), a.AllowedEmails, a.AllowedEmailDomains)
}

// emailSettings names the settings that are about e-mail addresses, as far as a client has them.
func emailSettings(a *rule.Access) string {
	switch {
	case len(a.AllowedEmailDomains) == 0:
		return "allowedEmails"
	case len(a.AllowedEmails) == 0:
		return "allowedEmailDomains"
	}
	return "allowedEmails and allowedEmailDomains"
}

// checkIn refuses users who are in none of some groups.
func (p *Policy) checkIn(q *Question, user *connector.Identity, where string, allowed []string) error {
	group, in := p.setOf(allowed).First(user.Groups)
	if !in {
		q.note(where, Refused, "the user is in none of them; their groups: %q", shown(user.Groups))
		return q.denied(NotInGroup, "", fmt.Errorf("%s has none of the user's groups: %q", where, shown(user.Groups)))
	}
	q.note(where, Passed, "the user is in %q", group)
	return nil
}

// checkEmail refuses users whose e-mail address is not allowed, if only some are. One that nobody has verified may be anybody's.
func (p *Policy) checkEmail(q *Question, user *connector.Identity, where string, addresses, domains []string) error {
	if len(addresses)+len(domains) == 0 {
		return nil
	}
	switch {
	case !p.hasEmail(user.Email, addresses, domains):
		q.note(where, Refused, "the address is %q", user.Email)
		return q.denied(EmailRefused, "", fmt.Errorf("%s: the user's e-mail address is not allowed", where))
	case !user.EmailVerified:
		q.note(where, Refused, "%q would be allowed, but the source doesn't say that it is verified", user.Email)
		return q.denied(EmailUnverified, "", fmt.Errorf("%s: the user's e-mail address would be allowed, but the source doesn't say that it is verified", where))
	}
	q.note(where, Passed, "the address is %q", user.Email)
	return nil
}

func (p *Policy) setOf(names []string) *rule.Set {
	return p.sets.of(&names[0], func() *rule.Set { return rule.NewSet(names) })
}

// hasEmail reports whether an address is one of some, or of some domains.
func (p *Policy) hasEmail(address string, addresses, domains []string) bool {
	return len(addresses) > 0 && p.emails.of(&addresses[0], func() *rule.Emails { return rule.NewEmails(addresses, nil) }).Has(address) ||
		len(domains) > 0 && p.emails.of(&domains[0], func() *rule.Emails { return rule.NewEmails(nil, domains) }).Has(address)
}

// shown returns as many names as people read.
func shown(names []string) []string {
	const most = 20
	return names[:min(len(names), most)]
}
