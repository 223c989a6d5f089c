package ldap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dex/internal/connector"
)

// data is kept with a login, to find its user again. Upstream keeps the entry's attributes too, which nothing reads.
type data struct {
	Username string `json:"username"`
	Entry    struct {
		DN string `json:"DN"`
	} `json:"entry"`
}

func newData(username, dn string) ([]byte, error) {
	d := data{Username: username}
	d.Entry.DN = dn
	encoded, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode connector data: %w", err)
	}
	return encoded, nil
}

// readData reads what newData, or upstream, wrote. Without it the login can't be tied to a user: that is ErrGone, as only
// the user can fix it, by logging in again.
func readData(encoded []byte) (data, error) {
	var d data
	if err := json.Unmarshal(encoded, &d); err != nil || d.Username == "" {
		return data{}, fmt.Errorf("the login was kept without the user's name: %w", connector.ErrGone)
	}
	return d, nil
}

// Refresh implements connector.Refresher. It looks the user up by the name that they logged in with. If the entry with that
// name still has the same id, it is the same user, even if the entry has moved; otherwise the name was given to somebody
// else.
func (d *directory) Refresh(ctx context.Context, s connector.Scopes, id connector.Identity) (connector.Identity, error) {
	last, err := readData(id.Data)
	if err != nil {
		return connector.Identity{}, err
	}
	ctx, cancel := d.inTime(ctx)
	defer cancel()
	user, err := d.find(ctx, last.Username)
	if errors.Is(err, errNoUser) {
		return connector.Identity{}, fmt.Errorf("%w: %w", err, connector.ErrGone)
	}
	if err != nil {
		return connector.Identity{}, err
	}
	fresh, err := d.complete(ctx, connector.Scopes{OfflineAccess: true, Groups: s.Groups}, user, last.Username)
	if err != nil {
		return connector.Identity{}, err
	}
	if isDN(d.config.UserSearch.IDAttr) && sameDN(fresh.UserID, id.UserID) {
		fresh.UserID = id.UserID // the server may spell the DN differently by now
	}
	if fresh.UserID != id.UserID {
		return connector.Identity{}, fmt.Errorf("the user's name is now another entry's: %w", connector.ErrGone)
	}
	return fresh, nil
}
