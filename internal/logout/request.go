package logout

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/session"
	"dex/internal/ui"
)

const (
	fieldAnswer   = "dex_logout"   // the user's answer to the question, which holds what was asked
	fieldAll      = "all"          // set where the answer is for all accounts
	fieldReposted = "dex_reposted" // set where our own page has sent a form once more
)

// parameters are the parameters of a logout request (RP-Initiated Logout, section 2). None may be given twice.
var parameters = []string{
	"id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales",
}

// A request is what an application, or a person, wants to end.
type request struct {
	client  *client.Client // that asks, or whose token is the hint; nil if that isn't known
	subject string         // whom the hint names; empty without a usable hint
	session string         // the session that the hint names
	hinted  bool           // there is a hint, usable or not

	target string // where it leads in the end, checked; empty for our own page
	state  string
}

// RPInitiated is the endpoint where applications send people to sign out.
func (l *Logout) RPInitiated() http.Handler { return l.page.Serve(l.rpInitiated) }

func (l *Logout) rpInitiated(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	if err := page.Parse(r, "The application's request can't be read."); err != nil {
		return err
	}
	b, err := l.browser(r)
	if err != nil {
		return err
	}
	if r.PostForm.Has(fieldAnswer) {
		return l.answered(w, r, b)
	}
	if len(b.Accounts()) == 0 && l.repost(w, r, "/logout") {
		return nil
	}
	req, err := l.read(r)
	if err != nil {
		return err
	}
	ui.Wish(r.Context(), r.Form.Get("ui_locales"))
	return l.decide(w, r, b, req)
}

// browser reads which sessions the browser has.
func (l *Logout) browser(r *http.Request) (*session.Browser, error) {
	b, err := l.cfg.Sessions.Leaving(r)
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "Your session can't be read.").
			Hint("Try again in a moment.").Because(err)
	}
	return b, nil
}

// repost lets a page of ours send another site's form once more, to a path: browsers send such a form without our cookies (SameSite).
func (l *Logout) repost(w http.ResponseWriter, r *http.Request, path string) bool {
	if r.Method != http.MethodPost || r.PostForm.Has(fieldReposted) || l.page.OwnForm(r) {
		return false
	}
	fields := append(page.Fields(r.Form), ui.FormField{Name: fieldReposted, Value: "1"})
	l.page.FormPost(w, r, ui.FormPostPage{Heading: "Logging you out…", URL: l.page.Path(path, nil), Fields: fields})
	return true
}

// read reads a logout request.
func (l *Logout) read(r *http.Request) (*request, error) {
	ctx, form := r.Context(), r.Form
	for _, name := range parameters {
		if len(form[name]) > 1 {
			return nil, l.unusable(page.Errorf(http.StatusBadRequest, "The application's request is invalid: it repeats a parameter.").
				Detail("parameter", name))
		}
		if oauth.TooLong(name, form.Get(name)) {
			return nil, l.unusable(page.Errorf(http.StatusBadRequest, "The application's request is too long.").
				Detail("parameter", name))
		}
	}
	req := &request{state: form.Get("state")}
	clientID, err := l.readHint(ctx, req, form)
	if err != nil {
		return nil, err
	}
	if clientID != "" {
		req.client, err = l.cfg.Clients.Find(ctx, clientID)
		if exceeded, ok := errors.AsType[*limit.Exceeded](err); ok {
			return nil, page.TooMany(exceeded)
		}
		if err != nil && !errors.Is(err, client.ErrUnknown) {
			return nil, page.Errorf(http.StatusInternalServerError, "The application's registration can't be read.").Because(err)
		}
	}
	return req, l.readTarget(req, form.Get("post_logout_redirect_uri"))
}

// unusable lets a user whom an application has sent here with a faulty request log out all the same.
func (l *Logout) unusable(e *page.Error) *page.Error {
	return e.Hint("You can still log out here.").Retry(l.page.Path("/logout", nil), "Log out")
}

// readHint reads whose session is to end, and returns the client that is asking. A token that can't be verified, perhaps because its
// key is long gone, says nothing.
func (l *Logout) readHint(ctx context.Context, req *request, form url.Values) (clientID string, err error) {
	clientID = form.Get("client_id")
	hint := form.Get("id_token_hint")
	if hint == "" {
		return clientID, nil
	}
	req.hinted = true
	claims, err := l.cfg.Hints.ReadHint(hint)
	if err != nil {
		l.cfg.Log.InfoContext(ctx, "id_token_hint of a logout ignored", "client_id", clientID, "err", err)
		return clientID, nil
	}
	// RP-Initiated Logout, section 2: the token must have been issued to the client.
	if clientID != "" && clientID != claims.Client() && !slices.Contains(claims.Audience, clientID) {
		return "", l.unusable(page.Errorf(http.StatusBadRequest,
			"The application's request is invalid: its id_token_hint was issued to another client.").Detail("client_id", clientID))
	}
	req.subject, req.session = claims.Subject, claims.SessionID
	if clientID == "" {
		clientID = claims.Client()
	}
	return clientID, nil
}

// readTarget checks where a logout is to lead. What isn't registered leads nowhere.
func (l *Logout) readTarget(req *request, target string) error {
	switch {
	case target == "":
		return nil
	case req.client != nil && req.client.AllowsPostLogoutRedirect(target):
		req.target = target
		return nil
	case l.cfg.RefuseUnregistered:
		return page.Errorf(http.StatusBadRequest, "The application wants you sent back to an address that is not registered for it.").
			Hint("The people who run the application can have its post logout redirect URI registered here.").
			Detail("post_logout_redirect_uri", target)
	}
	return nil
}

// decide ends the session that a request names, or asks the user first. The browser's cookie says which sessions can end; a hint only
// which of them is meant.
func (l *Logout) decide(w http.ResponseWriter, r *http.Request, b *session.Browser, req *request) error {
	accounts := b.Accounts()
	if len(accounts) == 0 {
		return l.finish(w, r, journey{Target: l.targetOf(req)}, outcome{ClientID: req.clientID()})
	}
	if i := slices.IndexFunc(accounts, req.means); i >= 0 {
		return l.signOut(w, r, b, accounts[i:i+1], req)
	}
	if l.isAnswer(r) || !req.hinted && (l.ownPost(r) || req.needsNoAnswer(r)) {
		return l.signOut(w, r, b, req.usedBy(accounts), req)
	}
	return l.ask(w, r, b, req)
}

// clientID returns the id of the client that asks; empty if it isn't known.
func (req *request) clientID() string {
	if req.client == nil {
		return ""
	}
	return req.client.ID
}

// ownPost reports whether a form may have been sent by a page of ours, or by a program.
func (l *Logout) ownPost(r *http.Request) bool {
	return r.Method == http.MethodPost && l.page.OwnForm(r) && !r.PostForm.Has(fieldReposted)
}

// isAnswer reports whether a browser says that a page of ours has sent a form. It is the question, of an operator's template that
// repeats none of our fields.
func (l *Logout) isAnswer(r *http.Request) bool {
	return l.ownPost(r) && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "same-origin")
}

// means reports whether a usable hint names a session.
func (req *request) means(e session.Entry) bool {
	return req.subject != "" && req.subject == e.Value.Subject() && (req.session == "" || req.session == e.Key)
}

// needsNoAnswer reports whether a client that can't show a token may sign out its users without their being asked.
func (req *request) needsNoAnswer(r *http.Request) bool {
	return req.client != nil && req.client.LogoutWithoutConfirmation && req.target != "" && r.Form.Get("client_id") != ""
}

// usedBy returns the sessions that the client has used; the first, if it has used none or isn't known.
func (req *request) usedBy(accounts []session.Entry) []session.Entry {
	if req.client != nil {
		used := slices.DeleteFunc(slices.Clone(accounts), func(e session.Entry) bool {
			_, took := e.Value.Clients[req.client.ID]
			return !took
		})
		if len(used) > 0 {
			return used
		}
	}
	return accounts[:1]
}

// signOut ends sessions of the browser, and leads on.
func (l *Logout) signOut(w http.ResponseWriter, r *http.Request, b *session.Browser, which []session.Entry, req *request) error {
	which = slices.Clone(which) // of the browser's own list, which gets shorter
	for _, e := range which {
		if err := l.End(r.Context(), e, event.SessionSignedOut); err != nil {
			return notLoggedOut(err)
		}
		b.Forget(e.Key)
	}
	if err := b.Keep(w); err != nil {
		return err
	}
	return l.leave(w, r, b, which, req)
}

func notLoggedOut(err error) error {
	return page.Errorf(http.StatusInternalServerError, "We couldn't log you out.").Hint("Try again in a moment.").Because(err)
}

// targetOf returns where a request leads in the end.
func (l *Logout) targetOf(req *request) string {
	if req.target == "" {
		return ""
	}
	if req.state == "" {
		return req.target
	}
	return oauth.WithQuery(req.target, url.Values{"state": {req.state}})
}
