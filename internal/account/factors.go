package account

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"

	"dex/internal/factor"
	"dex/internal/page"
	"dex/internal/ui"
)

// fewCodes is from how few recovery codes on people are told to make new ones.
const fewCodes = 3

// user returns who it is, as authenticators and browsers show it.
func (v *visit) user() factor.User {
	who := &v.Value.Identity
	return factor.User{
		UserID: v.userID(), ConnectorID: v.connectorID(),
		Name:        cmp.Or(who.Email, who.PreferredUsername, who.Username, who.UserID),
		DisplayName: cmp.Or(who.Username, who.PreferredUsername, who.Email),
	}
}

// factorsOf returns what the user has set up.
func (a *Account) factorsOf(v *visit) (factor.Record, error) {
	if a.cfg.Factors == nil {
		return factor.Record{}, nil
	}
	r, err := a.cfg.Factors.Get(v.r.Context(), v.user())
	if err != nil {
		return factor.Record{}, notRead(err)
	}
	return r, nil
}

// offered returns the authenticators of a type that the user may set up; of all types if it is empty.
func (a *Account) offered(v *visit, of string) ([]factor.Authenticator, error) {
	if a.cfg.Factors == nil {
		return nil, nil
	}
	connectorType, err := a.connectorType(v)
	if err != nil {
		return nil, err
	}
	var found []factor.Authenticator
	for _, one := range a.cfg.Factors.Authenticators {
		allowed := len(one.ConnectorTypes) == 0 || slices.Contains(one.ConnectorTypes, connectorType)
		if allowed && one.Type != factor.TypeAnyOf && (of == "" || one.Type == of) {
			found = append(found, one)
		}
	}
	return found, nil
}

// connectorType returns the type of the user's connector; empty if it is gone.
func (a *Account) connectorType(v *visit) (string, error) {
	all, err := a.cfg.Connectors.List(v.r.Context())
	if err != nil {
		return "", notRead(err)
	}
	for _, d := range all {
		if d.ID == v.connectorID() {
			return d.Type, nil
		}
	}
	return "", nil
}

// hasAny reports whether the user has set up anything that the server still asks for. What was set up for an authenticator that is no
// longer there can't be passed.
func (a *Account) hasAny(r *factor.Record) bool {
	return a.cfg.Factors != nil && slices.ContainsFunc(a.cfg.Factors.Authenticators, func(one factor.Authenticator) bool { return r.Has(one.ID) })
}

// addWays adds how the user signs in.
func (a *Account) addWays(v *visit, shown *ui.OwnAccount, _ names) error {
	if err := a.addPassword(v, shown); err != nil {
		return err
	}
	offered, err := a.offered(v, "")
	if err != nil || a.cfg.Factors == nil {
		return err
	}
	record, err := a.factorsOf(v)
	if err != nil {
		return err
	}
	ways := &shown.Ways
	ways.Apps, ways.Keys = a.apps(v, &record, offered), a.keys(v, &record, offered)
	ways.AddApps = a.adds(v, offered, factor.TypeTOTP, pageTOTP, func(id string) bool { return !record.Has(id) })
	ways.AddKeys = a.adds(v, offered, factor.TypeWebAuthn, pagePasskey, func(string) bool { return true })
	_, ways.LockedOut = record.Locked(a.cfg.Now())
	if a.cfg.Factors.RecoveryCodes && record.Any() {
		ways.Recovery, ways.CodesLeft = a.link(v, pageRecovery), record.RecoveryLeft()
		ways.FewLeft = ways.CodesLeft <= fewCodes
	}
	return nil
}

// apps returns the authenticator apps of a user. They are told apart by their authenticator where there are several.
func (a *Account) apps(v *visit, r *factor.Record, offered []factor.Authenticator) []ui.OwnFactor {
	several := len(ofType(offered, factor.TypeTOTP)) > 1 || len(r.TOTP) > 1
	var found []ui.OwnFactor
	for id, t := range r.TOTP {
		one := ui.OwnFactor{ID: id, Added: t.Created, LastUsed: t.LastUsed, Remove: a.link(v, pageRemove, fieldAuthenticator, id)}
		if several {
			one.Name = id
		}
		found = append(found, one)
	}
	slices.SortFunc(found, func(a, b ui.OwnFactor) int { return cmp.Compare(a.ID, b.ID) })
	return found
}

// keys returns the security keys and passkeys of a user.
func (a *Account) keys(v *visit, r *factor.Record, offered []factor.Authenticator) []ui.OwnFactor {
	several := len(ofType(offered, factor.TypeWebAuthn)) > 1
	var found []ui.OwnFactor
	for _, c := range r.Credentials {
		id := encodeID(c.ID)
		one := ui.OwnFactor{
			ID: id, Name: c.Name, Added: c.Created, LastUsed: c.LastUsed, Renames: true, Remove: a.link(v, pageRemove, fieldCredential, id),
			Refused: c.Clone,
		}
		if several {
			one.For = c.Authenticator
		}
		found = append(found, one)
	}
	return found
}

// adds returns the authenticators of a type that the user may add to.
func (a *Account) adds(v *visit, offered []factor.Authenticator, of, path string, may func(id string) bool) []ui.OwnAdd {
	all := ofType(offered, of)
	var found []ui.OwnAdd
	for _, one := range all {
		if !may(one.ID) {
			continue
		}
		add := ui.OwnAdd{URL: a.link(v, path, fieldAuthenticator, one.ID)}
		if len(all) > 1 {
			add.Name = one.ID
		}
		found = append(found, add)
	}
	return found
}

func ofType(all []factor.Authenticator, of string) []factor.Authenticator {
	return slices.DeleteFunc(slices.Clone(all), func(one factor.Authenticator) bool { return one.Type != of })
}

// mayAdd returns an error if the user may not set up an authenticator of a type.
func (a *Account) mayAdd(v *recent, of string) error {
	offered, err := a.offered(v.visit, of)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(offered, func(one factor.Authenticator) bool { return one.ID == v.Authenticator }) {
		return errNoPage
	}
	return nil
}

func encodeID(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// rename gives a security key or passkey another name.
func (a *Account) rename(v *visit) (string, error) {
	id, err := base64.RawURLEncoding.DecodeString(v.r.PostForm.Get(fieldCredential))
	if err != nil || a.cfg.Factors == nil {
		return doneGone, nil //nolint:nilerr // nobody has such a key
	}
	err = a.cfg.Factors.RenameCredential(v.r.Context(), v.user(), id, v.r.PostForm.Get("name"))
	if errors.Is(err, factor.ErrNotEnrolled) {
		return doneGone, nil
	}
	if err != nil {
		return "", notDone(err)
	}
	return doneRenamed, nil
}

// remove asks whether a factor is to go, and removes it.
func (a *Account) remove(v *recent) error {
	shown, do := a.removal(v)
	if do == nil {
		a.home(v.w, v.r, doneGone)
		return nil
	}
	if v.r.Method != http.MethodPost {
		a.page.OwnConfirm(v.w, v.r, shown)
		return nil
	}
	err := do()
	if errors.Is(err, factor.ErrNotEnrolled) {
		a.home(v.w, v.r, doneGone)
		return nil
	}
	if err != nil {
		return notDone(err)
	}
	a.home(v.w, v.r, doneRemoved)
	return nil
}

// removal returns what is to be removed, and how; nil if the user has nothing like it.
func (a *Account) removal(v *recent) (shown ui.OwnConfirmPage, do func() error) {
	if a.cfg.Factors == nil {
		return shown, nil
	}
	ctx, user := v.r.Context(), v.user()
	shown = ui.OwnConfirmPage{
		Account: user.Name, PostURL: a.page.Path(pageRemove, nil), BackURL: a.homePath(""), Last: len(v.record.TOTP)+len(v.record.Credentials) == 1,
		Fields: []ui.FormField{
			{Name: fieldAccount, Value: v.Key}, {Name: fieldAuthenticator, Value: v.Authenticator}, {Name: fieldCredential, Value: v.Credential},
		},
	}
	if v.Credential == "" {
		if _, has := v.record.TOTP[v.Authenticator]; !has {
			return shown, nil
		}
		shown.Kind = ui.ConfirmRemoveApp
		return shown, func() error { return a.cfg.Factors.RemoveTOTP(ctx, user, v.Authenticator) }
	}
	i := slices.IndexFunc(v.record.Credentials, func(c factor.Credential) bool { return encodeID(c.ID) == v.Credential })
	if i < 0 {
		return shown, nil
	}
	shown.Kind, shown.Name = ui.ConfirmRemoveKey, v.record.Credentials[i].Name
	return shown, func() error { return a.cfg.Factors.RemoveCredential(ctx, user, v.record.Credentials[i].ID) }
}

// recoveryPages are those for new recovery codes. Whoever says that they are saved has nothing to prove, however long that took: a login
// would lead to the page that makes others in their place.
func (a *Account) recoveryPages() http.Handler {
	fresh := a.serveFresh(pageRecovery, a.recovery)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has(paramSaved) {
			a.home(w, r, "")
			return
		}
		fresh.ServeHTTP(w, r)
	})
}

// recovery makes new recovery codes, which are shown once.
func (a *Account) recovery(v *recent) error {
	if a.cfg.Factors == nil || !a.cfg.Factors.RecoveryCodes || !v.record.Any() {
		a.home(v.w, v.r, "")
		return nil
	}
	if v.r.Method == http.MethodPost {
		return a.showCodes(v)
	}
	a.page.OwnConfirm(v.w, v.r, ui.OwnConfirmPage{
		Kind: ui.ConfirmRecovery, Account: v.user().Name, CodesLeft: v.record.RecoveryLeft(), PostURL: a.page.Path(pageRecovery, nil),
		BackURL: a.homePath(""), Fields: []ui.FormField{{Name: fieldAccount, Value: v.Key}},
	})
	return nil
}

// paramSaved says that the user has saved the codes that were shown.
const paramSaved = "saved"

// showCodes makes recovery codes, and shows them.
func (a *Account) showCodes(v *recent) error {
	codes, err := a.cfg.Factors.NewRecoveryCodes(v.r.Context(), v.user())
	if errors.Is(err, factor.ErrNotEnrolled) { // removed meanwhile
		a.home(v.w, v.r, doneGone)
		return nil
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Recovery codes can't be made.").Hint("Try again in a moment.").
			Retry(a.link(v.visit, pageRecovery), "Recovery codes").Because(err)
	}
	a.page.RecoveryCodes(v.w, v.r, http.StatusOK, ui.RecoveryCodesPage{
		Codes: codes, PostURL: a.link(v.visit, pageRecovery, paramSaved, "1"), Account: v.user().Name,
	})
	return nil
}

// lacksCodes reports whether the user has no recovery codes yet, and should have some.
func (a *Account) lacksCodes(v *recent) bool {
	return a.cfg.Factors.RecoveryCodes && v.record.RecoveryLeft() == 0
}
