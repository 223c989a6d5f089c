package account

import (
	"context"
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/page"
	"dex/internal/refresh"
	"dex/internal/ui"
)

// A changer changes the password of a user who knows the current one. The error is local.ErrWrongPassword, local.ErrFixed, or a
// *local.Unfit.
type changer interface {
	ChangePassword(ctx context.Context, email, current, password string) error
}

// longestPassword bounds a password, in bytes.
const longestPassword = 4096

// addPassword adds where the user changes their password, if it is in our own database.
func (a *Account) addPassword(v *visit, shown *ui.OwnAccount) error {
	kind, err := a.connectorType(v)
	if err != nil || kind != federation.LocalID {
		return err
	}
	if shown.FixedHere = a.cfg.FixedPassword(v.Value.Identity.Email); !shown.FixedHere {
		shown.Password = a.link(v, pagePassword)
	}
	return nil
}

// password changes the password of a user of our own database.
func (a *Account) password(v *recent) error {
	source, err := a.cfg.Connectors.Open(v.r.Context(), v.connectorID())
	if err != nil && !errors.Is(err, federation.ErrUnknown) {
		return notRead(err)
	}
	var database changer
	if err == nil {
		database, _ = source.Instance.(changer)
	}
	if database == nil {
		return errNoPage
	}
	form := ui.OwnPasswordPage{
		Account: v.Value.Identity.Email, PostURL: a.page.Path(pagePassword, nil), BackURL: a.homePath(""),
		Fields: []ui.FormField{{Name: fieldAccount, Value: v.Key}},
	}
	if v.r.Method != http.MethodPost {
		a.page.OwnPassword(v.w, v.r, http.StatusOK, form)
		return nil
	}
	return a.changePassword(v, database, form)
}

func (a *Account) changePassword(v *recent, database changer, form ui.OwnPasswordPage) error {
	again := func(status int) error {
		a.page.OwnPassword(v.w, v.r, status, form)
		return nil
	}
	said := v.r.PostForm
	if said.Get("new") != said.Get("again") {
		form.Message = "The new passwords differ. Type the same one twice."
		return again(http.StatusBadRequest)
	}
	if len(said.Get("new")) > longestPassword {
		form.Message = "Choose a shorter password."
		return again(http.StatusBadRequest)
	}
	try := &attempt{database: database, password: said.Get("new")}
	_, ok, err := a.cfg.Connectors.CheckPassword(v.r.Context(), a.cfg.Limits, try, federation.Attempt{
		Operation: federation.PasswordChange, ClientID: own.ID, ConnectorID: v.connectorID(), Username: v.Value.Identity.Email,
		Password: said.Get("current"),
	})
	if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		page.RetryAfter(v.w, exceeded)
		form.Message = exceeded.Message()
		return again(http.StatusTooManyRequests)
	}
	switch unfit, isUnfit := errors.AsType[*local.Unfit](try.failure); {
	case err != nil:
		return notDone(err)
	case !ok:
		form.WrongCurrent = true
		return again(http.StatusUnauthorized)
	case isUnfit:
		form.Message = unfit.Reason
		return again(http.StatusBadRequest)
	case errors.Is(try.failure, local.ErrFixed):
		form.Message = "Your password is in the server’s configuration. Only your administrator can change it."
		return again(http.StatusConflict)
	case errors.Is(try.failure, local.ErrChanged):
		form.WrongCurrent = true
		return again(http.StatusConflict)
	case try.failure != nil:
		return notDone(try.failure)
	}
	return a.endElsewhere(v)
}

// endElsewhere ends what may be in the hands of somebody who knew the password: all other sessions, all logins, and codes that have not
// been redeemed yet.
func (a *Account) endElsewhere(v *recent) error {
	a.cfg.Events.Emit(v.r.Context(), event.PasswordChanged{ConnectorID: v.connectorID(), UserID: v.userID(), By: event.ByUser})
	ctx := context.WithoutCancel(v.r.Context()) // a browser that hangs up must not leave half of it
	epoch, err := a.cfg.Identities.EndAll(ctx, v.userID(), v.connectorID())
	if err == nil {
		err = a.endAllBut(ctx, v.visit, event.SessionPassword)
	}
	if err == nil {
		err = a.endLogins(ctx, v.visit, func(refresh.Listed) bool { return true })
	}
	if err == nil {
		err = v.browser.Renew(ctx, v.Entry, epoch) // somebody may have a copy of the cookie too
	}
	if err == nil {
		a.cfg.Login.KeepKnown(v.w, v.r, &v.Value, epoch)
		err = v.browser.Keep(v.w)
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your password is changed, but you may still be logged in elsewhere.").
			Hint("End your other sessions on the page of your account.").Retry(a.homePath(""), "Your account").Because(err)
	}
	a.home(v.w, v.r, donePassword)
	return nil
}

// An attempt is a change of a password as a source of logins, so that guesses of the current one are counted with those at a login.
type attempt struct {
	database changer
	password string
	failure  error // of a change whose current password was right
}

// Prompt implements connector.Password.
func (*attempt) Prompt() string { return "" }

// Login implements connector.Password.
func (t *attempt) Login(ctx context.Context, _ connector.Scopes, email, current string) (connector.Identity, bool, error) {
	err := t.database.ChangePassword(ctx, email, current, t.password)
	_, unfit := errors.AsType[*local.Unfit](err)
	switch {
	case err == nil:
		return connector.Identity{}, true, nil
	case errors.Is(err, local.ErrWrongPassword):
		return connector.Identity{}, false, nil
	case unfit, errors.Is(err, local.ErrFixed), errors.Is(err, local.ErrChanged):
		t.failure = err
		return connector.Identity{}, true, nil
	}
	return connector.Identity{}, false, err
}
