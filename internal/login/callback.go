package login

import (
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/ui"
)

const (
	// maxAnswer bounds the body of a provider's answer, in bytes: a SAML response with many groups is long.
	maxAnswer = 2 << 20
	// fieldReposted marks an answer that our own page has sent once more.
	fieldReposted = "dex_reposted"
)

// Callback is where providers send the browser back, with or without the connector in the path.
func (f *Flow) Callback() http.Handler { return f.serve(f.callback) }

func (f *Flow) callback(w http.ResponseWriter, r *http.Request) error {
	state, err := f.readAnswer(w, r)
	if err != nil {
		return err
	}
	req, source, err := f.underWay(r, state)
	if err != nil {
		if errors.Is(err, errNoRequest) && f.repost(w, r, state) {
			return nil
		}
		return err
	}
	provider, ok := source.Instance.(connector.Callback)
	if !ok {
		return pageErrorf(http.StatusBadRequest, "This way to log in does not lead over another provider.")
	}
	if req.Done {
		if f.cfg.AnyBrowser { // the id shows nothing of who asks, and the consent page is for whoever brought the answer
			return errLostRequest(errNoRequest)
		}
		return f.goOn(w, r, req)
	}
	identity, err := provider.HandleCallback(r.Context(), connector.Return{
		Scopes: req.connectorScopes(), State: req.ID, Data: req.ConnectorData, Request: r,
		CallbackURL: f.cfg.Connectors.CallbackURL(r.PathValue("connector")),
	})
	if again, ok := errors.AsType[*connector.Again](err); ok && !req.AskedTwice {
		return f.askAgain(w, r, req, source, again)
	}
	if err := f.ended(r.Context(), req, federation.Login, err); err != nil {
		return err
	}
	return f.finish(w, r, req, source.Definition, identity)
}

// readAnswer reads a provider's answer and returns the state in it. It comes from another site, so that the login that the
// browser holds under the state is all that vouches for it.
func (f *Flow) readAnswer(w http.ResponseWriter, r *http.Request) (state string, err error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return r.URL.Query().Get("state"), nil
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return "", pageErrorf(http.StatusMethodNotAllowed, "The provider that you came from must send you here by GET or POST.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAnswer)
	if err := r.ParseForm(); err != nil {
		return "", errUnreadable("The provider's answer can't be read.", err)
	}
	if state = r.PostForm.Get("RelayState"); state == "" { // as SAML names it
		state = r.PostForm.Get("state")
	}
	return state, nil
}

// repost lets a page of ours send a provider's form once more: with a form that comes from another site the browser leaves
// out the cookies which hold the login (SameSite).
func (f *Flow) repost(w http.ResponseWriter, r *http.Request, state string) bool {
	if r.Method != http.MethodPost || !idForm.MatchString(state) || r.PostForm.Has(fieldReposted) {
		return false
	}
	fields := append(formFields(r.PostForm), ui.FormField{Name: fieldReposted, Value: "1"})
	w.Header().Set("Cache-Control", "no-store")
	f.cfg.Pages.FormPost(w, r, ui.FormPostPage{Heading: "Logging you in", URL: r.URL.EscapedPath(), Fields: fields})
	return true
}

// leave sends the browser to a source.
func (f *Flow) leave(w http.ResponseWriter, r *http.Request, name string, to connector.Redirect) {
	w.Header().Set("Cache-Control", "no-store")
	if to.Form == nil {
		http.Redirect(w, r, to.URL, http.StatusFound)
		return
	}
	f.cfg.Pages.FormPost(w, r, ui.FormPostPage{Heading: "On to " + name, URL: to.URL, Fields: formFields(to.Form)})
}
