package openshift

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// kubeAdmin is the only user who has no uid: the administrator that the installation of a cluster makes. Names of other users
// have no colon.
const kubeAdmin = "kube:admin"

// user is what is read of a user.
type user struct {
	Metadata struct {
		Name string `json:"name"`
		UID  string `json:"uid"`
	} `json:"metadata"`
	FullName string   `json:"fullName"`
	Groups   []string `json:"groups"`
}

// identify asks who holds an access token.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, _ *relyingparty.Tokens,
) (connector.Identity, error) {
	var u user
	if err := calls.GetJSON(ctx, c.cfg.Issuer+"/apis/user.openshift.io/v1/users/~", &u); err != nil {
		return connector.Identity{}, fmt.Errorf("user: %w", err)
	}
	name := u.Metadata.Name
	id := connector.Identity{UserID: u.Metadata.UID, Username: name, PreferredUsername: name}
	if id.UserID == "" && name == kubeAdmin {
		if !c.cfg.AllowKubeAdmin {
			return connector.Identity{}, &connector.Unusable{
				Reason: "kube:admin can't sign in here.", Cause: errors.New("it has no uid, and allowKubeAdmin is not set"),
			}
		}
		id.UserID = kubeAdmin
	}
	if c.cfg.UseFullName {
		id.Username = cmp.Or(u.FullName, name)
	}
	if c.cfg.UserNameAsEmail || looksLikeAddress(name) {
		id.Email = name // which the user need not own
	}
	groups := connector.Unique(u.Groups)
	if _, err := connector.AllowGroups("groups", groups, c.cfg.Groups); err != nil {
		return connector.Identity{}, err
	}
	if s.Groups {
		id.Groups = c.passedOn(groups)
	}
	return id, nil
}

// passedOn returns the groups that applications get: all of the user's, and not only those that let them in.
func (c *connection) passedOn(groups []string) []string {
	if !c.cfg.HideSystemGroups {
		return groups
	}
	return slices.DeleteFunc(groups, func(group string) bool { return strings.HasPrefix(group, "system:") })
}

// looksLikeAddress reports whether a user name has the form of an e-mail address, as it has where a cluster takes over the names
// of an identity provider.
func looksLikeAddress(name string) bool {
	local, domain, _ := strings.Cut(name, "@")
	return local != "" && strings.Contains(strings.Trim(domain, "."), ".") && !strings.ContainsAny(domain, "@:/") &&
		!strings.ContainsAny(name, " \t\r\n")
}
