package account

import (
	"context"
	"errors"
	"maps"
	"slices"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/store"
	"dex/internal/ui"
)

// addConsents adds what the user has let applications have, the newest first.
func (a *Account) addConsents(v *visit, shown *ui.OwnAccount, apps names) error {
	given := v.identity.Consents
	ids := slices.SortedFunc(maps.Keys(given), func(a, b string) int { return given[b].Given.Compare(given[a].Given) })
	for _, id := range ids {
		scopes := a.cfg.Identities.Given(&v.identity, id)
		if scopes == nil {
			continue // too long ago
		}
		if shown.MoreConsents = len(shown.Consents) == most; shown.MoreConsents {
			break
		}
		shown.Consents = append(shown.Consents, ui.OwnConsent{
			ClientID: id, Client: apps.of(id), Scopes: scopes, ClientNames: a.cfg.Clients.AudienceNames(v.r.Context(), scopes),
			Since: given[id].Given,
		})
	}
	return nil
}

// withdraw takes back what the user has let an application have.
func (a *Account) withdraw(v *visit) (string, error) {
	id := v.r.PostForm.Get("client")
	err := a.cfg.Identities.Withdraw(v.r.Context(), v.userID(), v.connectorID(), id)
	if errors.Is(err, store.ErrNotFound) {
		return doneGone, nil
	}
	if err != nil {
		return "", notDone(err)
	}
	a.tell(v, event.ConsentWithdrawn, id)
	return doneConsent, nil
}

// names are the display names of applications, by id.
type names struct {
	ctx     context.Context
	clients *client.Registry
	known   map[string]string
}

func (a *Account) namesOf(ctx context.Context) names {
	return names{ctx, a.cfg.Clients, map[string]string{}}
}

// of returns the name of an application; its id if it can't be found.
func (n names) of(id string) string {
	if name, ok := n.known[id]; ok {
		return name
	}
	name := id
	if c, err := n.clients.Get(n.ctx, id); err == nil {
		name = c.DisplayName()
	}
	n.known[id] = name
	return name
}
