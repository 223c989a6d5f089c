package login

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/store"
	"dex/internal/token"
)

const (
	// approvalTime is how long a user may think about the application's wishes.
	approvalTime = time.Hour
	// repeatTime is how long afterwards the same answer may be given again, by a user who saw nothing of what it led to.
	repeatTime = time.Minute
	// lookAgainTimeout bounds how long we look for an answer that may or may not have been stored.
	lookAgainTimeout = 3 * time.Second
)

// stepApproval marks the address of the consent page.
const stepApproval = "step:approval"

// pending is the record of a user who has signed in and still has to answer a page. Its key is the login's id.
type pending struct {
	Authorization token.Authorization `json:"authorization"`
	Key           []byte              `json:"key"` // of the addresses of the pages that follow
	Expires       time.Time           `json:"expires"`
	GrantID       string              `json:"grantID"` // of what the application gets
	// Answered is when the user has answered; zero before. The answer stays what it is.
	Answered time.Time `json:"answered,omitzero"`
	Approved bool      `json:"approved,omitempty"`

	Proof  *proof `json:"proof,omitempty"`  // of the user, who has signed in; nil for one with a session
	ViaSSO bool   `json:"viaSSO,omitempty"` // the session is another application's
	Begun  bool   `json:"begun,omitempty"`  // the proof has begun a session, and begins no other one

	// Finished says that the login has ended without a question to its user. The same answer to its last page leads to the same.
	Finished bool `json:"finished,omitempty"`
	// Passed are the second factors that the user has passed, by authenticator, and when.
	Passed map[string]time.Time `json:"passed,omitempty"`
	// Setup is the authenticator app that the user is setting up.
	Setup *setup `json:"setup,omitempty"`
	// NewCodes says that the user has yet to be shown their recovery codes.
	NewCodes bool `json:"newCodes,omitempty"`
	// Stamp is that of the user when they had signed in, where the source has any.
	Stamp []byte `json:"stamp,omitempty"`
}

var pendingKind = store.Declare(store.Declaration[pending]{
	Name: "login", Quiet: true,
	Expires: func(p *pending) time.Time { return p.Expires },
})

// consent asks the user for consent, unless the configuration skips that.
func (f *Flow) consent(v *visit) (bool, error) {
	switch {
	case v.ask.Own != nil, v.pending != nil && v.pending.Value.Approved,
		f.cfg.SkipApproval && !v.ask.Consent, f.hasConsented(v):
		return true, nil
	case v.ask.Silent:
		return false, v.refuse(oauth.ConsentRequired, "The user must be asked for consent.", nil)
	case v.pending != nil && v.answering:
		return false, f.showConsent(v)
	case v.pending == nil:
		if err := f.hold(v); err != nil {
			return false, err
		}
	}
	return false, f.toConsent(v, v.pending.Value.Key)
}

// hold stores who has signed in, as the login goes on with a page of ours.
func (f *Flow) hold(v *visit) error {
	ctx := v.r.Context()
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	p := pending{
		Authorization: *v.user, Key: key, GrantID: token.NewGrantID(), Expires: earlier(v.Expires, time.Now().Add(approvalTime)),
		Proof: v.proof, ViaSSO: v.viaSSO, Passed: v.passed,
	}
	var err error
	if p.Stamp, err = f.stamp(v); err != nil {
		return err
	}
	if v.ID == "" { // a session has signed the user in, before any source had to be asked
		v.ID = newID()
	}
	e, err := f.pending.Create(ctx, v.ID, p)
	if errors.Is(err, store.ErrExists) {
		// The form was sent twice, or the browser went back: whoever signed in last goes on.
		e, err = f.pending.Update(ctx, v.ID, func(stored *pending) error {
			*stored = p
			return nil
		})
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your login can't be saved.").
			Hint("Try again in a moment.").Because(err)
	}
	v.hold(e)
	v.Done, v.Expires = true, p.Expires
	if !f.cfg.AnyBrowser { // else the login is stored, and anyone who reads the storage could use the secret
		v.Secret = id.NewSecret()
	}
	return f.keep(v)
}

// hold takes what is stored of a login.
func (v *visit) hold(e store.Entry[pending]) {
	v.pending, v.user = &e, &e.Value.Authorization
	v.proof, v.viaSSO, v.passed = e.Value.Proof, e.Value.ViaSSO, e.Value.Passed
}

// toConsent leads the browser to the consent page.
func (f *Flow) toConsent(v *visit, key []byte) error {
	target := f.page.Path("/approval", url.Values{"req": {v.ID}, "hmac": {stepMAC(key, v.ID, stepApproval)}})
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
	return nil
}

// goOn leads a browser whose user has already signed in back to the page that the login waits at: a source's answer counts
// once.
func (f *Flow) goOn(v *visit) error {
	if err := f.loadPending(v); err != nil {
		return err
	}
	if !v.pending.Value.Answered.IsZero() && !v.pending.Value.Finished {
		return errLost(errNoLogin)
	}
	return f.advance(v)
}

// loadPending reads who has signed in.
func (f *Flow) loadPending(v *visit) error {
	p, err := f.pending.Get(v.r.Context(), v.ID)
	if errors.Is(err, store.ErrNotFound) {
		return errLost(errNoLogin)
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your login can't be read.").Because(err)
	}
	v.hold(p)
	// Whoever has signed in by a password that was given up since gets nothing by it.
	stamp, err := f.stamp(v)
	if err == nil && !bytes.Equal(stamp, p.Value.Stamp) {
		return errLost(errNoLogin)
	}
	return err
}

// stamp returns what changes as soon as the user of a login signs in with something else; nil where the source doesn't say.
func (f *Flow) stamp(v *visit) ([]byte, error) {
	source, err := f.cfg.Connectors.Open(v.r.Context(), v.user.ConnectorID)
	if err != nil {
		return nil, nil //nolint:nilerr // it is gone or down: whoever needs it says so
	}
	users, ok := source.Instance.(connector.Stamped)
	if !ok {
		return nil, nil
	}
	stamp, err := users.Stamp(v.r.Context(), v.user.Identity)
	if errors.Is(err, connector.ErrGone) {
		return nil, errLost(errNoLogin)
	}
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "Your account can't be looked up.").
			Hint("Try again in a moment.").Because(err)
	}
	return stamp, nil
}

// Approval is the consent page.
func (f *Flow) Approval() http.Handler { return f.serve(f.approval) }

func (f *Flow) approval(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	v, err := f.load(w, r, query.Get("req"))
	if err != nil {
		return err
	}
	if err := f.loadPending(v); err != nil {
		return err
	}
	if !validMAC(v.pending.Value.Key, v.ID, stepApproval, query.Get("hmac")) {
		return page.Errorf(http.StatusUnauthorized, "The address of this page is incomplete.").
			Hint("Go back to the application and log in again.")
	}
	if r.Method == http.MethodPost {
		return f.answerConsent(v)
	}
	if !v.pending.Value.Answered.IsZero() {
		return errLost(errNoLogin)
	}
	v.answering = true
	return f.advance(v)
}

// showConsent shows the consent page.
func (f *Flow) showConsent(v *visit) error {
	who := v.user.Identity
	shown := v.ask.Page
	shown.User, shown.Email, shown.Connector = who.Username, who.Email, f.nameOf(v, v.connector)
	shown.Client, shown.ClientLogoURL = v.client.DisplayName(), v.client.LogoURL
	shown.ClientID, shown.ClientNames = v.client.ID, f.cfg.Clients.AudienceNames(v.r.Context(), v.ask.Scopes)
	shown.AuthReqID, shown.RequestedScopes, shown.OtherAccountURL = v.ID, v.ask.Scopes, f.anotherAccount(v)
	f.page.Approval(v.w, v.r, shown)
	return nil
}

// answerConsent takes the user's answer. The first answer counts; for a while the same answer, given again, leads to the same:
// the button was pressed twice, or the storage failed somewhere on the way.
func (f *Flow) answerConsent(v *visit) error {
	if err := f.page.ReadForm(v.r); err != nil {
		return err
	}
	approved := v.r.PostForm.Get("approval") == "approve"
	err := f.storeAnswer(v.r.Context(), *v.pending, approved)
	if errors.Is(err, store.ErrNotFound) {
		return errLost(errNoLogin)
	}
	if err != nil {
		return NotStored(err)
	}
	if !approved {
		no := oauth.Errorf(oauth.AccessDenied, "The user did not grant access.").Because(errNoConsent)
		return &refused{v: v, Refusal: Refusal{Err: no, ByUser: true}}
	}
	v.pending.Value.Approved, v.pending.Value.Answered = true, time.Now()
	return f.advance(v)
}

// errNoConsent says that it was the user who refused.
var errNoConsent = errors.New("the user refused")

// NotStored is the page for an answer of a user that can't be stored, and that the user can give again.
func NotStored(cause error) error {
	return page.Errorf(http.StatusInternalServerError, "Your answer can't be saved.").
		Hint("Go back and answer again in a moment.").Because(cause)
}

// storeAnswer stores what the user has answered. The error is store.ErrNotFound if there was another answer before, or if
// another user has signed in since the page was shown.
func (f *Flow) storeAnswer(ctx context.Context, e store.Entry[pending], approved bool) error {
	_, err := f.pending.UpdateEntry(ctx, e, func(stored *pending) error {
		switch {
		case !bytes.Equal(stored.Key, e.Value.Key):
			return store.ErrNotFound
		case stored.answered(approved):
			return store.ErrUnchanged
		case !stored.Answered.IsZero():
			return store.ErrNotFound
		}
		stored.Answered, stored.Approved = time.Now(), approved
		stored.Expires = stored.Answered.Add(repeatTime)
		return nil
	})
	if err == nil || errors.Is(err, store.ErrNotFound) || ctx.Err() != nil {
		return err
	}
	// It may have been stored all the same.
	ctx, cancel := context.WithTimeout(ctx, lookAgainTimeout)
	defer cancel()
	stored, readErr := f.pending.Get(ctx, e.Key)
	if readErr == nil && bytes.Equal(stored.Value.Key, e.Value.Key) && stored.Value.answered(approved) {
		return nil
	}
	return err
}

// finish notes that a login ends whose user had nothing to answer, so that a second press of the last page's button leads to the same,
// and only for a while.
func (f *Flow) finish(v *visit) error {
	if v.pending == nil || !v.pending.Value.Answered.IsZero() {
		return nil
	}
	e, err := f.pending.UpdateEntry(v.r.Context(), *v.pending, func(stored *pending) error {
		switch {
		case !bytes.Equal(stored.Key, v.pending.Value.Key):
			return store.ErrNotFound
		case stored.Finished:
			return store.ErrUnchanged
		case !stored.Answered.IsZero():
			return store.ErrNotFound
		}
		stored.Answered, stored.Finished = time.Now(), true
		stored.Expires = stored.Answered.Add(repeatTime)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return errLost(errNoLogin)
	}
	if err != nil {
		return NotStored(err)
	}
	v.hold(e)
	return nil
}

// answered reports whether this is what the user has answered.
func (p *pending) answered(approved bool) bool {
	return !p.Answered.IsZero() && !p.Finished && p.Approved == approved
}
