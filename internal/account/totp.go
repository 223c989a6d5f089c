package account

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"dex/internal/factor"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/ui"
)

// setupTime is how long somebody may take to set up an authenticator app.
const setupTime = 10 * time.Minute

// A setup is an authenticator app that is being set up. It is sealed into the page, and counts for its user and session only.
type setup struct {
	Session       string    `json:"session"`
	User          string    `json:"user"`
	Authenticator string    `json:"authenticator"`
	Secret        string    `json:"secret"`
	Expires       time.Time `json:"expires"`
}

const (
	sealsSetup = "account totp"
	fieldSetup = "setup"
)

// totp sets up an authenticator app.
func (a *Account) totp(v *recent) error {
	if err := a.mayAdd(v, factor.TypeTOTP); err != nil {
		return err
	}
	if v.record.Has(v.Authenticator) {
		a.home(v.w, v.r, "")
		return nil
	}
	if v.r.Method != http.MethodPost {
		return a.showSetup(v, http.StatusOK, setup{
			Session: v.Key, User: v.Value.Subject(), Authenticator: v.Authenticator, Secret: factor.NewTOTPSecret(), Expires: a.cfg.Now().Add(setupTime),
		}, "")
	}
	begun, err := a.openSetup(v)
	if err != nil {
		return err
	}
	err = a.cfg.Factors.ConfirmTOTP(v.r.Context(), v.user(), begun.Authenticator, begun.Secret, v.r.PostForm.Get("totp"), a.stillFresh(v))
	switch {
	case errors.Is(err, factor.ErrTaken): // the form was sent twice
		a.home(v.w, v.r, doneApp)
		return nil
	case errors.Is(err, factor.ErrNotFirst):
		return a.proveAgain(v.visit, v.target)
	case errors.Is(err, factor.ErrWrong), errors.Is(err, factor.ErrReplayed):
		return a.showSetup(v, http.StatusUnauthorized, begun, "This code is wrong. Check the time of your device, and wait for the next code.")
	case err != nil:
		return notDone(err)
	}
	a.stepUp(v, oauth.MethodOneTime)
	if a.lacksCodes(v) {
		return a.showCodes(v)
	}
	a.home(v.w, v.r, doneApp)
	return nil
}

// showSetup shows the key of an app that is being set up.
func (a *Account) showSetup(v *recent, status int, begun setup, message string) error {
	plain, err := json.Marshal(begun)
	if err != nil {
		return err
	}
	key := a.cfg.Factors.TOTPKey(v.user(), begun.Authenticator, begun.Secret)
	a.page.TOTP(v.w, v.r, status, ui.TOTPPage{
		PostURL: a.page.Path(pageTOTP, nil), Message: message, Issuer: key.Issuer, Connector: v.connectorID(),
		QRCodeSVG: key.SVG, QRCode: base64.StdEncoding.EncodeToString(key.PNG), Secret: key.Secret, Account: key.Account,
		Fields: []ui.FormField{
			{Name: fieldAccount, Value: v.Key}, {Name: fieldAuthenticator, Value: begun.Authenticator},
			{Name: fieldSetup, Value: a.cfg.Ring.Seal(sealsSetup, plain)},
		},
		BackURL: a.homePath(""),
	})
	return nil
}

// openSetup returns what a form sets up.
func (a *Account) openSetup(v *recent) (setup, error) {
	var begun setup
	plain, err := a.cfg.Ring.Open(v.r.Context(), sealsSetup, v.r.PostForm.Get(fieldSetup))
	if err == nil {
		err = json.Unmarshal(plain, &begun)
	}
	ours := begun.Session == v.Key && begun.User == v.Value.Subject() && begun.Authenticator == v.Authenticator
	if err != nil || !ours || a.cfg.Now().After(begun.Expires) {
		return setup{}, page.Errorf(http.StatusBadRequest, "This page has expired.").
			Retry(a.link(v.visit, pageTOTP, fieldAuthenticator, v.Authenticator), "Set up an authenticator app").Because(err)
	}
	return begun, nil
}
