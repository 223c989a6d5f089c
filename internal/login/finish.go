package login

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/store"
	"dex/internal/token"
	"dex/internal/ui"
)

const (
	// approvalTime is how long a user may think about the application's wishes.
	approvalTime = time.Hour
	// repeatTime is how long after it the user's answer may be given again, by who saw nothing of what it led to.
	repeatTime = time.Minute
	// lingerTime is how long the browser keeps a request that was answered, for a second click on the button.
	lingerTime = 10 * time.Second
	// maxHead is how long the cookies and the address of a redirect may be together, in bytes, so that with the other headers
	// they fit into the 4 KiB that proxies have for those by default.
	maxHead = 3500
	// lookAgainTimeout bounds how long an answer is looked for of which nobody knows whether it was stored.
	lookAgainTimeout = 3 * time.Second
)

// stepApproval marks the address of the consent page.
const stepApproval = "step:approval"

// pending is the record of a user who has signed in and still has to answer a page. Its key is the request's id.
type pending struct {
	Authorization token.Authorization `json:"authorization"`
	Key           []byte              `json:"key"` // of the addresses of the pages that follow
	Expires       time.Time           `json:"expires"`
	GrantID       string              `json:"grantID"` // of what the application gets
	// Answered is when the user has answered; zero before. The answer stays what it is.
	Answered time.Time `json:"answered,omitzero"`
	Approved bool      `json:"approved,omitempty"`
}

var pendingKind = store.Declare(store.Declaration[pending]{
	Name: "login", Quiet: true,
	Expires: func(p *pending) time.Time { return p.Expires },
})

// finish goes on with a user who has signed in: to the consent page, or straight back to the application.
func (f *Flow) finish(
	w http.ResponseWriter, r *http.Request, req *request, d *federation.Definition, id connector.Identity,
) error {
	f.logLogin(r.Context(), d, id)
	if err := f.checkUser(req, d, id); err != nil {
		return err
	}
	a := token.Authorization{
		ClientID:    req.ClientID,
		ConnectorID: d.ID,
		Scopes:      req.Scopes,
		Nonce:       req.Nonce,
		AuthTime:    f.now(),
		Methods:     id.Methods,
	}
	if !id.AuthTime.IsZero() && !f.cfg.KeepHints {
		a.AuthTime = earlier(id.AuthTime, a.AuthTime)
	}
	id.Methods, id.AuthTime = nil, time.Time{} // are in the authorization, and belong to this login only
	a.Identity = id
	if f.cfg.SkipApproval && !req.ForceConsent {
		a.GrantID = token.NewGrantID()
		return f.issue(w, r, req, a)
	}
	if req.silent() {
		return refuse(req, oauth.ConsentRequired, "The user must be asked for consent.", nil)
	}
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	p := pending{Authorization: a, Key: key, GrantID: token.NewGrantID(), Expires: earlier(req.Expires, f.now().Add(approvalTime))}
	_, err := f.pending.Create(r.Context(), req.ID, p)
	if errors.Is(err, store.ErrExists) {
		// The form was sent twice, or the browser went back: whoever asks last is asked for consent.
		p, err = f.repeat(r.Context(), req.ID, p)
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your login can't be stored.").
			Hint("Try again in a moment.").Because(err)
	}
	req.Done, req.Expires = true, p.Expires
	if !f.cfg.AnyBrowser { // where the request is stored, whoever reads the storage could redeem the code
		req.Code = token.NewCode()
	}
	if err := f.keep(w, r, req); err != nil {
		return err
	}
	f.showApproval(w, r, req, p.Key)
	return nil
}

// reauthLeeway is how far the clock of a source may be behind ours when it says when a user signed in.
const reauthLeeway = 10 * time.Second

// checkUser holds the user who has signed in to what the application has asked for.
func (f *Flow) checkUser(req *request, d *federation.Definition, id connector.Identity) error {
	if req.Subject != "" && req.Subject != token.Subject(id.UserID, d.ID) {
		// OpenID Connect Core, 3.1.2.1.
		return refuse(req, oauth.LoginRequired, "Another user signed in than the one of the id_token_hint.", nil)
	}
	if f.cfg.KeepHints || id.AuthTime.IsZero() || req.MaxAge == nil {
		return nil
	}
	if f.now().Sub(id.AuthTime) > *req.MaxAge+reauthLeeway {
		return refuse(req, oauth.LoginRequired, "The identity source did not ask the user to sign in again.", nil)
	}
	return nil
}

// goOn leads the browser that holds a login, and has gone through it, back to the page that the login waits at: a source's
// answer counts once.
func (f *Flow) goOn(w http.ResponseWriter, r *http.Request, req *request) error {
	p, err := f.pending.Get(r.Context(), req.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !p.Value.Answered.IsZero() {
		return errLostRequest(errNoRequest)
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your login can't be read.").Because(err)
	}
	f.showApproval(w, r, req, p.Value.Key)
	return nil
}

func (f *Flow) showApproval(w http.ResponseWriter, r *http.Request, req *request, key []byte) {
	target := f.page.Path("/approval", url.Values{"req": {req.ID}, "hmac": {stepMAC(key, req.ID, stepApproval)}})
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// repeat replaces the user of a login under way.
func (f *Flow) repeat(ctx context.Context, id string, p pending) (pending, error) {
	e, err := f.pending.Update(ctx, id, func(stored *pending) error {
		*stored = p
		return nil
	})
	return e.Value, err
}

// issue gives the application what it has asked for: a code, tokens, or both. The authorization's GrantID is what they can
// be revoked by together.
func (f *Flow) issue(w http.ResponseWriter, r *http.Request, req *request, a token.Authorization) error {
	if req.UserCode != "" {
		return f.approveDevice(w, r, req, a)
	}
	params := url.Values{}
	if req.wants(oauth.ResponseCode) {
		params.Set("code", cmp.Or(req.Code, token.NewCode()))
		err := f.cfg.Codes.Issue(r.Context(), params.Get("code"), a, req.RedirectURI, req.Challenge)
		switch {
		case err != nil && req.Code != "":
			return errNotStored(err)
		case err != nil:
			return refuse(req, oauth.ServerError, "The code can't be stored. Try again in a moment.", err)
		}
	}
	if err := f.mint(r.Context(), req, a, params); err != nil {
		return err
	}
	if req.RedirectURI == oauth.RedirectOutOfBand {
		f.letGo(w, r, req, "")
		f.page.OOB(w, r, ui.OOBPage{Code: params.Get("code"), Lifetime: f.cfg.Codes.Lifetime(req.RedirectURI)})
		return nil
	}
	back := f.reply(req, params)
	f.letGo(w, r, req, back.URL)
	f.send(w, r, back)
	return nil
}

// letGo takes a request that was answered from the browser; one that a second click may repeat, after a moment. If that takes
// more room beside the address that the browser is sent to than proxies have, as a long state is in both, the request stays
// as long as the consent page.
func (f *Flow) letGo(w http.ResponseWriter, r *http.Request, req *request, address string) {
	if req.Code == "" {
		f.requests.forget(w, r, req.ID)
		return
	}
	const cookies = "Set-Cookie"
	before := w.Header().Values(cookies)
	req.Expires = earlier(req.Expires, f.now().Add(lingerTime))
	if err := f.requests.keep(w, r, req); err != nil {
		f.log.WarnContext(r.Context(), "answered login request could not be kept for a second click", "err", err)
	}
	length := len(address)
	for _, cookie := range w.Header().Values(cookies) {
		length += len(cookie)
	}
	if length > maxHead {
		w.Header()[cookies] = before
	}
}

// mint adds the tokens that the application gets by the browser (OpenID Connect Core, 3.2.2.5 and 3.3.2.5).
func (f *Flow) mint(ctx context.Context, req *request, a token.Authorization, params url.Values) error {
	wanted := token.Wanted{
		Access: req.wants(oauth.ResponseToken), ID: req.wants(oauth.ResponseIDToken), Code: params.Get("code"),
	}
	if !wanted.Access && !wanted.ID {
		return nil
	}
	c, err := f.cfg.Clients.Get(ctx, req.ClientID)
	if err != nil {
		return refuse(req, oauth.ServerError, "The client can't be read. Try again in a moment.", err)
	}
	if err := f.checkFactor(req, c); err != nil {
		return err
	}
	t, err := f.cfg.Minter.Mint(ctx, c, &a, wanted)
	if err != nil {
		return refuse(req, oauth.ServerError, "The tokens can't be made. Try again in a moment.", err)
	}
	if wanted.Access {
		params.Set("access_token", t.Access)
		params.Set("token_type", "bearer")
		params.Set("expires_in", strconv.FormatInt(t.ExpiresIn, 10))
		params.Set("scope", strings.Join(a.Scopes, " "))
	}
	if wanted.ID {
		params.Set("id_token", t.ID)
	}
	return nil
}

// Approval is the consent page.
func (f *Flow) Approval() http.Handler { return f.serve(f.approval) }

func (f *Flow) approval(w http.ResponseWriter, r *http.Request) error {
	id := r.URL.Query().Get("req")
	req, err := f.requests.load(r.Context(), r, id)
	if err != nil {
		return errLostRequest(err)
	}
	p, err := f.pending.Get(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return errLostRequest(errNoRequest)
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your login can't be read.").Because(err)
	}
	if !validMAC(p.Value.Key, id, stepApproval, r.URL.Query().Get("hmac")) {
		return page.Errorf(http.StatusUnauthorized, "The address of this page is not complete.").
			Hint("Go back to the application and log in again.")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if !p.Value.Answered.IsZero() {
			return errLostRequest(errNoRequest)
		}
		return f.askConsent(w, r, req, p.Value)
	case http.MethodPost:
		return f.answerConsent(w, r, req, p)
	}
	w.Header().Set("Allow", "GET, HEAD, POST")
	return page.Errorf(http.StatusMethodNotAllowed, "This page takes GET and POST requests only.")
}

func (f *Flow) askConsent(w http.ResponseWriter, r *http.Request, req *request, p pending) error {
	c, err := f.clientOf(r.Context(), req)
	if err != nil {
		return err
	}
	id := p.Authorization.Identity
	shown := ui.ApprovalPage{
		User:            id.Username,
		Email:           id.Email,
		Connector:       f.connectorName(r.Context(), p.Authorization.ConnectorID),
		Client:          c.DisplayName(),
		ClientLogoURL:   c.LogoURL,
		AuthReqID:       req.ID,
		RequestedScopes: req.Scopes,
		OtherAccountURL: f.restart(req),
		UserCode:        req.UserCode,
	}
	f.page.Approval(w, r, shown)
	return nil
}

// answerConsent ends the login. The first answer counts; for a while the same answer, given again, leads to the same: the
// button was pressed twice, or the storage failed somewhere on the way.
func (f *Flow) answerConsent(w http.ResponseWriter, r *http.Request, req *request, p store.Entry[pending]) error {
	if err := f.page.ReadForm(r); err != nil {
		return err
	}
	approved := r.PostForm.Get("approval") == "approve"
	err := f.storeAnswer(r.Context(), p, approved)
	if errors.Is(err, store.ErrNotFound) {
		return errLostRequest(errNoRequest)
	}
	if err != nil {
		return errNotStored(err)
	}
	if !approved {
		return refuse(req, oauth.AccessDenied, "The user did not grant access.", errNoConsent)
	}
	a := p.Value.Authorization
	a.GrantID = p.Value.GrantID
	return f.issue(w, r, req, a)
}

// storeAnswer stores what the user has answered; store.ErrNotFound where there was another answer, or another user has
// signed in since the page was shown.
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
		stored.Answered, stored.Approved = f.now(), approved
		stored.Expires = stored.Answered.Add(repeatTime)
		return nil
	})
	if err == nil || errors.Is(err, store.ErrNotFound) || ctx.Err() != nil {
		return err
	}
	// It may be stored all the same.
	ctx, cancel := context.WithTimeout(ctx, lookAgainTimeout)
	defer cancel()
	stored, readErr := f.pending.Get(ctx, e.Key)
	if readErr == nil && bytes.Equal(stored.Value.Key, e.Value.Key) && stored.Value.answered(approved) {
		return nil
	}
	return err
}

// answered reports whether the user has answered so.
func (p *pending) answered(approved bool) bool { return !p.Answered.IsZero() && p.Approved == approved }

// errNotStored is the page for an answer that the user can give again.
func errNotStored(cause error) error {
	return page.Errorf(http.StatusInternalServerError, "Your answer can't be stored.").
		Hint("Go back, and answer again in a moment.").Because(cause)
}

// errNoConsent says that it was the user who refused.
var errNoConsent = errors.New("the user refused")

func (f *Flow) connectorName(ctx context.Context, id string) string {
	all, err := f.cfg.Connectors.List(ctx)
	i := slices.IndexFunc(all, func(d *federation.Definition) bool { return d.ID == id })
	if err != nil || i < 0 {
		return id
	}
	return all[i].Name
}

func (f *Flow) logLogin(ctx context.Context, d *federation.Definition, id connector.Identity) {
	email := id.Email
	if email != "" && !id.EmailVerified {
		email += " (unverified)"
	}
	f.log.InfoContext(ctx, "login successful", "connector_id", d.ID, "user_id", id.UserID,
		"username", id.Username, "preferred_username", id.PreferredUsername, "email", email, "groups", id.Groups)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// stepMAC authenticates the address of a step, so that it can't be reached but by the step before. The message is a
// protobuf message with the two values in field 1, as in upstream's addresses.
func stepMAC(key []byte, requestID, label string) string {
	var message []byte
	for _, value := range []string{requestID, label} {
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendString(message, value)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func validMAC(key []byte, requestID, label, presented string) bool {
	return hmac.Equal([]byte(stepMAC(key, requestID, label)), []byte(presented))
}
