package microsoft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// names knows which groups are meant by the names in the setting groups. Display names are not unique, and by default every user
// may create a group of any name. So a name means a group only if the tenant has no other one of that name. Once it meant a group,
// it goes on to do so for as long as the group has it, so that nobody is locked out by a group of the same name.
type names struct {
	log        *slog.Logger
	graph      string
	onlySecure bool // groups that are no security groups don't count

	mu    sync.Mutex // guards the rest, never held over I/O
	known map[string]meaning
}

type meaning struct {
	id    string // empty where several groups have the name
	until time.Time
}

// namesKnown is for how long names are not looked up again.
const namesKnown = 5 * time.Minute

// id returns the id of the group that a name means; empty for none, or if the user can't find that out, which doubt then says.
func (n *names) id(ctx context.Context, calls *relyingparty.Calls, u *user, name string) (id string, doubt, err error) {
	n.mu.Lock()
	last, there := n.known[name]
	n.mu.Unlock()
	if there && (time.Now().Before(last.until) || u.isGuest()) { // guests don't see all groups
		return last.id, nil, nil
	}
	if u.isGuest() {
		return "", undecided(name, errors.New("guests can't look for groups")), nil
	}
	ids, err := n.find(ctx, calls, name)
	switch {
	case isForbidden(err) && there:
		return last.id, nil, nil
	case isForbidden(err):
		return "", undecided(name, err), nil
	case err != nil:
		return "", nil, fmt.Errorf("the name %q: %w", name, err)
	case len(ids) == 0: // was renamed or removed just now
		return "", nil, nil
	}
	return n.keep(ctx, name, ids), nil, nil
}

// isForbidden reports whether Graph lets the user not do what is asked.
func isForbidden(err error) bool {
	refused, ok := errors.AsType[*relyingparty.BearerError](err)
	return ok && refused.Status == http.StatusForbidden && connector.OutcomeOf(err) == connector.Broken
}

// keep remembers which of the groups that have a name is meant, and returns its id.
func (n *names) keep(ctx context.Context, name string, ids []string) string {
	n.mu.Lock()
	next := meaning{until: time.Now().Add(namesKnown)}
	switch last := n.known[name].id; {
	case len(ids) == 1:
		next.id = ids[0]
	case slices.Contains(ids, last):
		next.id = last
	}
	if n.known == nil {
		n.known = map[string]meaning{}
	}
	n.known[name] = next
	n.mu.Unlock()
	if len(ids) > 1 {
		n.log.WarnContext(ctx, "several groups have a name that the setting groups has: put the id of the right one there",
			"name", name, "ids", ids, "taken", next.id)
	}
	return next.id
}

// find returns the ids of the groups that have a name.
func (n *names) find(ctx context.Context, calls *relyingparty.Calls, name string) ([]string, error) {
	filter := "displayName eq '" + strings.ReplaceAll(name, "'", "''") + "'"
	if n.onlySecure {
		filter += " and securityEnabled eq true"
	}
	address := n.graph + "/v1.0/groups?$filter=" + strings.ReplaceAll(url.QueryEscape(filter), "+", "%20") +
		"&$select=id,displayName&$top=100"
	var found []group
	if err := calls.Pages(ctx, address, into(&found)); err != nil {
		return nil, err
	}
	var ids []string
	for _, g := range found {
		if g.Name == name { // Graph finds other spellings too
			ids = append(ids, g.ID)
		}
	}
	slices.Sort(ids)
	return connector.Unique(ids), nil
}

// undecided says that nobody can tell whether a group of a user is the one that is meant.
func undecided(name string, cause error) error {
	return fmt.Errorf("the user is in a group with the name %q, and can't find out whether another has that name too; "+
		"put the group's id into groups instead: %w", name, cause)
}
