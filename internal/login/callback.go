package login

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/page"
	"dex/internal/ui"
)

const (
	// MaxAnswer bounds the body of a provider's answer, in bytes: it has room for the longest SAML response that is read, 2 MiB,
	// in base64 whose + and / are written as three characters each.
	MaxAnswer = 3 << 20
	// fieldReposted marks an answer that our own page has sent once more.
	fieldReposted = "dex_reposted"
)

// answerParameters are the parameters of providers' answers. None may be given twice (RFC 6749, section 3.1): we and the
// connector might look at different ones.
var answerParameters = []string{
	"state", "code", "error", "iss", "id_token", "access_token", "ticket", "oauth_token", relayState, samlResponse,
}

// Callback is where providers send the browser back, with or without the connector in the path.
func (f *Flow) Callback() http.Handler { return f.serve(f.callback) }

func (f *Flow) callback(w http.ResponseWriter, r *http.Request) error {
	state, err := f.readAnswer(r)
	if err != nil {
		return err
	}
	v, source, err := f.underWay(w, r, state)
	if err != nil {
		if !errors.Is(err, errNoLogin) {
			return err
		}
		if f.repost(w, r, state) {
			return nil
		}
		if r.PostForm.Has(samlResponse) {
			return errLostSAML(r.PostForm, err)
		}
		return err
	}
	provider, ok := source.Instance.(connector.Callback)
	if !ok {
		return page.Errorf(http.StatusBadRequest, "This way to log in doesn't use another provider.")
	}
	if v.Done {
		if f.cfg.AnyBrowser { // the id doesn't show who is asking, and the consent page is for whoever brought the answer
			return errLost(errNoLogin)
		}
		return f.goOn(v)
	}
	asking, asked := f.cfg.Connectors.Asking(r.Context(), v.ConnectorID, federation.Login)
	identity, err := provider.HandleCallback(asking, connector.Return{
		Scopes: f.sourceScopes(v, source.Definition), State: v.ID, Data: v.ConnectorData, Request: r,
		CallbackURL: f.cfg.Connectors.CallbackURL(r.PathValue("connector")),
	})
	if again, ok := errors.AsType[*connector.Again](err); ok && !v.AskedTwice {
		asked.Drop()
		return f.askAgain(v, source, again)
	}
	if err := f.ended(v, asked, err); err != nil {
		return err
	}
	return f.signedIn(v, source.Definition, identity)
}

// readAnswer reads a provider's answer and returns the state in it. The answer comes from another site, so all that vouches
// for it is the login that the browser holds under that state.
func (f *Flow) readAnswer(r *http.Request) (state string, err error) {
	if err := page.Parse(r, "The provider's answer can't be read."); err != nil {
		return "", err
	}
	answer := r.URL.Query()
	if r.Method == http.MethodPost {
		answer = r.PostForm
	}
	for _, name := range answerParameters {
		if len(answer[name]) > 1 || len(r.Form[name]) > 1 {
			return "", page.Errorf(http.StatusBadRequest, "The provider's answer can't be used: it says something twice.").
				Because(fmt.Errorf("the parameter %s is given more than once", name))
		}
	}
	if r.PostForm.Has(samlResponse) {
		return samlState(r.PostForm), nil
	}
	return cmp.Or(answer.Get(relayState), answer.Get("state")), nil
}

// repost lets a page of ours send a provider's form once more: browsers send a form that comes from another site without the
// cookies that hold the login (SameSite).
func (f *Flow) repost(w http.ResponseWriter, r *http.Request, state string) bool {
	if r.Method != http.MethodPost || !idForm.MatchString(state) || r.PostForm.Has(fieldReposted) {
		return false
	}
	fields := append(page.Fields(r.PostForm), ui.FormField{Name: fieldReposted, Value: "1"})
	w.Header().Set("Cache-Control", "no-store")
	f.page.FormPost(w, r, ui.FormPostPage{Heading: "Logging you in", URL: r.URL.EscapedPath(), Fields: fields})
	return true
}
