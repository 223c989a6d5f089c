package google

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

const (
	scopeDirectory     = "https://www.googleapis.com/auth/admin.directory.group.readonly"
	scopeCloudIdentity = "https://www.googleapis.com/auth/cloud-identity.groups.readonly"

	// maxLookups bounds how many groups are looked up for one user, as each is a call.
	maxLookups = 1000
	// atOnce is how many lookups run at once.
	atOnce = 8
)

// groupScope returns what the API that knows groups wants access tokens to have.
func (c *Config) groupScope() string {
	if c.GroupsFrom == fromCloudIdentity {
		return scopeCloudIdentity
	}
	return scopeDirectory
}

// A lookup finds the groups of one user.
type lookup struct {
	*connection
	calls    *relyingparty.Calls
	personal bool // the user is of no organization
}

// errNoAdmin says that the settings name nobody who may look up an address.
var errNoAdmin = errors.New("domainToAdminEmail has no administrator for its domain")

// pages reads a list about an address. A token that Google no longer takes is replaced once.
func (l *lookup) pages(ctx context.Context, address, first string, read func(*outbound.Answer) (string, error)) error {
	subject, ok := l.cfg.subject(address)
	if !ok {
		return errNoAdmin
	}
	for again := false; ; again = true {
		given, err := l.admins.Token(ctx, subject, l.cfg.groupScope())
		if err != nil {
			return err
		}
		err = l.calls.As(given).With(l.admins.Header).Pages(ctx, first, read)
		if refused, ok := errors.AsType[*relyingparty.BearerError](err); !ok || again || !refused.Unknown() {
			return err
		}
		l.admins.Forget(given)
	}
}

// isStranger reports whether an API says that it doesn't know an address, or that it is not in its organization.
func isStranger(err error) bool {
	refused, ok := errors.AsType[*relyingparty.BearerError](err)
	return ok && connector.OutcomeOf(err) == connector.Broken &&
		(refused.Status == http.StatusNotFound || refused.Status == http.StatusForbidden)
}

// ofUser returns the error of looking up the user: an *connector.Unusable for somebody whom the organization doesn't know, as
// personal accounts. To members of an organization a 403 says that the administrator, or the service account, may not look.
func (l *lookup) ofUser(err error) error {
	refused, _ := errors.AsType[*relyingparty.BearerError](err)
	if errors.Is(err, errNoAdmin) || isStranger(err) && (l.personal || refused.Status == http.StatusNotFound) {
		return &connector.Unusable{
			Reason: "Your account is not in the organization whose groups count here.", Cause: relyingparty.InOurName(err),
		}
	}
	return relyingparty.InOurName(err)
}

// above returns the groups that the Directory says the user is in.
func (l *lookup) above(ctx context.Context, user string) ([]string, error) {
	found, err := l.parents(ctx, user)
	return found, l.ofUser(err)
}

// parents returns the groups of which an address is itself a member.
func (l *lookup) parents(ctx context.Context, address string) ([]string, error) {
	const most = "200" // per page
	query := url.Values{"userKey": {address}, "maxResults": {most}, "fields": {"groups(email),nextPageToken"}}
	page := func() string { return l.cfg.DirectoryURL + "/admin/directory/v1/groups?" + query.Encode() }
	var found []string
	err := l.pages(ctx, address, page(), func(answer *outbound.Answer) (string, error) {
		var said struct {
			Groups []struct {
				Email string `json:"email"`
			} `json:"groups"`
			Next string `json:"nextPageToken"`
		}
		if err := relyingparty.DecodeAnswer(answer, &said); err != nil {
			return "", err
		}
		for _, group := range said.Groups {
			found = append(found, group.Email)
		}
		if said.Next == "" {
			return "", nil
		}
		query.Set("pageToken", said.Next)
		return page(), nil
	})
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	return found, nil
}

// allAbove returns the groups that the Directory says the user is in, those in which they are, and so on, one level after the
// other. Each is looked up once.
func (l *lookup) allAbove(ctx context.Context, user string) ([]string, error) {
	level, err := l.above(ctx, user)
	if err != nil {
		return nil, err
	}
	var all []string
	seen := map[string]bool{}
	for {
		level = slices.DeleteFunc(level, func(group string) bool {
			key := strings.ToLower(group)
			known := seen[key] || key == ""
			seen[key] = true
			return known
		})
		if len(level) == 0 {
			return all, nil
		}
		if all = append(all, level...); len(all) > maxLookups {
			return nil, &connector.Unusable{
				Reason: "Your account is in more groups than can be used here.",
				Cause: fmt.Errorf("the user is in more than %d groups, each of which has to be looked up: "+
					"groupsFrom: %s finds them by one search", maxLookups, fromCloudIdentity),
			}
		}
		if level, err = l.aboveGroups(ctx, level); err != nil {
			return nil, err
		}
	}
}

// aboveGroups returns the groups in which some groups are, in their order. Groups that can't be looked up, as they belong to
// another organization, are left out.
func (l *lookup) aboveGroups(ctx context.Context, groups []string) ([]string, error) {
	found := make([][]string, len(groups))
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for i, group := range groups {
		all.Go(func() error {
			var err error
			found[i], err = l.parents(ctx, group)
			if errors.Is(err, errNoAdmin) || isStranger(err) {
				l.log.WarnContext(ctx, "in which groups a group is can't be looked up, and is left out", "group", group, "err", err)
				return nil
			}
			return relyingparty.InOurName(err)
		})
	}
	err := all.Wait()
	return slices.Concat(found...), err
}

// memberships returns the groups that Cloud Identity says the user is in.
func (l *lookup) memberships(ctx context.Context, user string) ([]string, error) {
	method := "searchDirectGroups"
	if l.cfg.FetchTransitiveGroupMembership {
		method = "searchTransitiveGroups"
	}
	member, err := quoted(user)
	if err != nil {
		return nil, err
	}
	const most = "1000" // per page
	query := url.Values{"pageSize": {most}, "query": {
		"member_key_id == " + member + " && 'cloudidentity.googleapis.com/groups.discussion_forum' in labels",
	}}
	page := func() string {
		return l.cfg.CloudIdentityURL + "/v1/groups/-/memberships:" + method + "?" + query.Encode()
	}
	var found []string
	err = l.pages(ctx, user, page(), func(answer *outbound.Answer) (string, error) {
		var said struct {
			Memberships []struct {
				Key struct {
					ID        string `json:"id"`
					Namespace string `json:"namespace"` // of groups of other systems
				} `json:"groupKey"`
			} `json:"memberships"`
			Next string `json:"nextPageToken"`
		}
		if err := relyingparty.DecodeAnswer(answer, &said); err != nil {
			return "", err
		}
		for _, membership := range said.Memberships {
			if membership.Key.Namespace == "" {
				found = append(found, membership.Key.ID)
			}
		}
		if said.Next == "" {
			return "", nil
		}
		query.Set("pageToken", said.Next)
		return page(), nil
	})
	if err != nil {
		err = fmt.Errorf("cloud identity: %s: %w", method, err)
	}
	return found, l.ofUser(err)
}

// quoted returns a text as a literal of CEL, the language of searches. Control characters have no place in an address.
func quoted(text string) (string, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", &connector.Unusable{
			Reason: "Your account has an e-mail address that can't be used here.", Claim: "email",
			Cause: errors.New("the e-mail address has control characters"),
		}
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'", nil
}
