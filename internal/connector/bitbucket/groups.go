package bitbucket

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// workspace is what is read of a workspace that the user is in.
type workspace struct {
	Administrator bool `json:"administrator"`
	Workspace     struct {
		Slug string `json:"slug"`
	} `json:"workspace"`
}

func (w *workspace) slug() string { return w.Workspace.Slug }

// groups returns the workspaces of the user and, where they are wanted, the user's permissions in them.
func (c *connection) groups(ctx context.Context, calls *relyingparty.Calls) ([]string, error) {
	var in []workspace
	err := pages(ctx, calls, c.cfg.list("/user/workspaces"), func(some []workspace) bool {
		in = append(in, some...)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("workspaces: %w", err)
	}
	// A colon, which no name of a workspace has, would make one pass for a permission in another.
	in = slices.DeleteFunc(in, func(w workspace) bool { return w.slug() == "" || strings.Contains(w.slug(), ":") })
	var names []string
	for _, w := range in {
		names = append(names, w.slug())
	}
	if c.cfg.GetWorkspacePermissions {
		more, err := c.permissions(ctx, calls, in)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	return connector.Unique(names), nil
}

// permissions returns groups such as acme:owner. A permission that nothing is decided by, and that Bitbucket doesn't tell, is left
// out.
func (c *connection) permissions(ctx context.Context, calls *relyingparty.Calls, in []workspace) ([]string, error) {
	groups := make([]string, len(in))
	var mu sync.Mutex // guards unknown
	var unknown []error
	asking, ctx := errgroup.WithContext(ctx)
	for i, w := range in {
		switch {
		case !c.wants(w.slug()):
			continue
		case w.Administrator:
			groups[i] = w.slug() + ":owner"
			continue
		}
		asking.Go(func() error {
			permission, err := c.permission(ctx, calls, w.slug())
			switch {
			case err == nil:
				groups[i] = w.slug() + ":" + permission
			case len(c.cfg.Teams) > 0:
				return fmt.Errorf("permission in %s: %w", w.slug(), err)
			default:
				mu.Lock()
				defer mu.Unlock()
				unknown = append(unknown, err)
			}
			return nil
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		c.log.WarnContext(ctx, "Bitbucket does not tell permissions of a user, which are left out of the groups",
			"workspaces", len(unknown), "err", unknown[0])
	}
	return groups, nil
}

// wants reports whether the user's permission in a workspace matters: with teams, only what they list does.
func (c *connection) wants(slug string) bool {
	return len(c.cfg.Teams) == 0 ||
		slices.ContainsFunc(c.cfg.Teams, func(team string) bool { return strings.HasPrefix(team, slug+":") })
}

// permission asks what the user may do in a workspace.
func (c *connection) permission(ctx context.Context, calls *relyingparty.Calls, slug string) (string, error) {
	var said struct {
		Permission string `json:"permission"`
	}
	err := calls.GetJSON(ctx, c.cfg.APIURL+"/user/workspaces/"+url.PathEscape(slug)+"/permission", &said)
	if err == nil && said.Permission == "" {
		err = errors.New("the provider's answer has no permission")
	}
	return said.Permission, err
}
