package logout

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"dex/internal/page"
	"dex/internal/session"
	"dex/internal/ui"
)

// questionTime is how long a user may think about whether to sign out.
const questionTime = time.Hour

// A question is whether the user wants to sign out. It is sealed into the page, so that where the application wanted to go isn't lost,
// and can't be changed.
type question struct {
	Session string    `json:"session"` // the account that is asked about
	Client  string    `json:"client,omitempty"`
	Target  string    `json:"target,omitempty"`
	Expires time.Time `json:"expires"`
}

const sealsQuestion = "logout question"

// ask asks the user whether they want to sign out.
func (l *Logout) ask(w http.ResponseWriter, r *http.Request, b *session.Browser, req *request) error {
	accounts := b.Accounts()
	asked := req.usedBy(accounts)[0]
	q := question{Session: asked.Key, Target: l.targetOf(req), Expires: time.Now().Add(questionTime)}
	if req.client != nil {
		q.Client = req.client.ID
	}
	plain, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("encode the question of a logout: %w", err)
	}
	shown := ui.LogoutPage{
		ShowConfirmation: true,
		PostURL:          l.page.Path("/logout", nil),
		Fields:           []ui.FormField{{Name: fieldAnswer, Value: l.cfg.Ring.Seal(sealsQuestion, plain)}},
		User:             l.account(r, asked),
	}
	for _, e := range accounts {
		if e.Key != asked.Key {
			shown.Others = append(shown.Others, l.account(r, e))
		}
	}
	l.page.Logout(w, r, shown)
	return nil
}

// account returns how an account is shown.
func (l *Logout) account(r *http.Request, e session.Entry) ui.Account {
	who := &e.Value.Identity
	return ui.Account{Name: who.Username, Email: who.Email, Connector: l.nameOf(r, e.Value.ConnectorID)}
}

// answered takes the user's answer.
func (l *Logout) answered(w http.ResponseWriter, r *http.Request, b *session.Browser) error {
	if err := l.page.ReadForm(r); err != nil {
		return err
	}
	plain, err := l.cfg.Ring.Open(r.Context(), sealsQuestion, r.PostForm.Get(fieldAnswer))
	var q question
	if err == nil {
		err = json.Unmarshal(plain, &q)
	}
	if err != nil || time.Now().After(q.Expires) {
		return page.Errorf(http.StatusBadRequest, "This page has expired.").
			Hint("Try logging out again.").Retry(l.page.Path("/logout", nil), "Log out").Because(err)
	}
	req := &request{target: q.Target} // has its state already
	if q.Client != "" {
		if req.client, err = l.cfg.Clients.Get(r.Context(), q.Client); err != nil {
			req.client, req.target = nil, ""
		}
	}
	which := b.Accounts()
	if !r.PostForm.Has(fieldAll) {
		which = slices.DeleteFunc(slices.Clone(which), func(e session.Entry) bool { return e.Key != q.Session })
	}
	if len(which) == 0 {
		return l.finish(w, r, journey{Target: req.target}, outcome{})
	}
	return l.signOut(w, r, b, which, req)
}
