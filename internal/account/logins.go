package account

import (
	"context"
	"errors"
	"slices"

	"dex/internal/event"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/ui"
)

// errEnough ends a walk through a list.
var errEnough = errors.New("enough")

// addLogins adds the applications that stay signed in, those that were used last first.
func (a *Account) addLogins(v *visit, shown *ui.OwnAccount, apps names) error {
	var all []refresh.Listed
	err := a.cfg.Families.List(v.r.Context(), v.userID(), v.connectorID(), func(l refresh.Listed) error {
		all = append(all, l)
		if len(all) == store.MaxLimit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	slices.SortStableFunc(all, func(a, b refresh.Listed) int { return b.LastUsed.Compare(a.LastUsed) })
	shown.MoreLogins = len(all) > most
	for _, l := range all[:min(len(all), most)] {
		shown.Logins = append(shown.Logins, ui.OwnLogin{ID: l.FamilyID, Client: apps.of(l.ClientID), Since: l.Created, LastUsed: l.LastUsed})
	}
	return nil
}

// endLogin ends one of the user's logins, with all of its tokens.
func (a *Account) endLogin(v *visit) (string, error) {
	id, ended := v.r.PostForm.Get("login"), false
	err := a.endLogins(v.r.Context(), v, func(l refresh.Listed) bool {
		found := l.FamilyID == id
		ended = ended || found
		return found
	})
	switch {
	case err != nil:
		return "", notDone(err)
	case !ended:
		return doneGone, nil
	}
	return doneLogin, nil
}

// endLogins ends those of the user's logins that are meant.
func (a *Account) endLogins(ctx context.Context, v *visit, meant func(refresh.Listed) bool) error {
	return a.cfg.Families.List(store.Latest(ctx), v.userID(), v.connectorID(), func(l refresh.Listed) error {
		if !meant(l) {
			return nil
		}
		// As at the revocation endpoint: tokens first, so that the login is still found if this is cut off.
		if err := a.cfg.Revocations.RevokeLogin(ctx, l.FamilyID); err != nil {
			return err
		}
		if err := a.cfg.Families.End(ctx, l.FamilyID); err != nil {
			return err
		}
		a.cfg.Events.Emit(ctx, event.Revoked{
			Login: event.Login{ID: l.FamilyID, ClientID: l.ClientID, ConnectorID: l.ConnectorID, UserID: l.UserID}, All: true,
		})
		a.tell(v, event.LoginEnded, l.ClientID) //nolint:contextcheck // the visit has the request, and so its context
		return nil
	})
}

// tell emits that the user has changed something.
func (a *Account) tell(v *visit, what event.OwnChange, clientID string) {
	a.cfg.Events.Emit(v.r.Context(), event.OwnChanged{
		UserID: v.userID(), ConnectorID: v.connectorID(), What: what, ClientID: clientID, SessionID: v.Key,
	})
}
