package logout

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/session"
	"dex/internal/ui"
	"dex/internal/wait"
)

// FromSource is where identity sources say that somebody has signed out there.
func (l *Logout) FromSource() http.Handler { return l.page.Serve(l.fromSource) }

func (l *Logout) fromSource(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	ctx, connectorID := r.Context(), r.PathValue("connector")
	receiver, err := l.receiver(ctx, connectorID)
	if err != nil {
		return err
	}
	if err := page.Parse(r, "The provider's message can't be read."); err != nil {
		return err
	}
	told, err := receiver.ReceiveLogout(ctx, r)
	if err != nil {
		return l.refuseSource(w, r, connectorID, err)
	}
	if told.Returns {
		return l.callback(w, r)
	}
	ended, err := l.endAtSource(w, r, connectorID, told)
	if told.Answer != nil {
		return l.answerSource(w, r, told, ended, err)
	}
	if err != nil {
		return l.refuseSource(w, r, connectorID, err)
	}
	if told.Browser {
		// The provider's page has this answer in a frame (Front-Channel Logout, section 2). There is nothing on it.
		w.Header().Del("X-Frame-Options")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// receiver returns a source that tells us of logouts.
func (l *Logout) receiver(ctx context.Context, connectorID string) (connector.LogoutReceiver, error) {
	opened, err := l.cfg.Connectors.Open(ctx, connectorID)
	if err != nil && !errors.Is(err, federation.ErrUnknown) {
		return nil, page.Errorf(http.StatusServiceUnavailable, "The connector can't be used at the moment.").Because(err)
	}
	if err == nil {
		if receiver, ok := opened.Instance.(connector.LogoutReceiver); ok {
			return receiver, nil
		}
	}
	return nil, page.Errorf(http.StatusNotFound, "There is no page at this address.")
}

// refuseSource answers a message that nobody is signed out for (Back-Channel Logout, section 2.8).
func (l *Logout) refuseSource(w http.ResponseWriter, r *http.Request, connectorID string, err error) error {
	l.cfg.Log.WarnContext(r.Context(), "identity source's message about a logout is refused", "connector_id", connectorID, "err", err)
	if _, bad := errors.AsType[*connector.BadToken](err); bad {
		oauth.Errorf(oauth.InvalidRequest, "The logout can't be accepted.").WriteJSON(w, http.StatusBadRequest)
		return nil
	}
	oauth.Errorf(oauth.ServerError, "The logout has failed.").WriteJSON(w, http.StatusServiceUnavailable)
	return nil
}

// endAtSource ends the sessions that a source says have ended there.
func (l *Logout) endAtSource(
	w http.ResponseWriter, r *http.Request, connectorID string, told connector.SourceLogout,
) (connector.Ended, error) {
	ctx := r.Context()
	ending, err := l.cfg.Sessions.AtSource(ctx, connectorID, told)
	if err != nil {
		return connector.EndedNothing, err
	}
	var b *session.Browser
	if told.Browser {
		if b, err = l.cfg.Sessions.Browser(r); err != nil {
			return connector.EndedNothing, err
		}
		if len(told.Sessions) == 0 && told.Subject == "" {
			ending = ofConnector(b.Accounts(), connectorID)
		}
	}
	for _, e := range ending {
		if err := l.insist(ctx, e); err != nil {
			return connector.EndedNothing, err
		}
		if b != nil {
			b.Forget(e.Key)
		}
	}
	if b != nil && len(ending) > 0 {
		if err := b.Keep(w); err != nil {
			return connector.EndedNothing, err
		}
	}
	// Applications that don't want to be told are no failure, though a provider may show one to its users.
	return connector.EndedEverywhere, nil
}

// insist ends a session, and tries again for a moment: the source won't tell of it again, as its message counts once.
func (l *Logout) insist(ctx context.Context, e session.Entry) error {
	var err error
	for _, pause := range []time.Duration{0, 200 * time.Millisecond, time.Second} {
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
		if err = l.End(ctx, e, event.SessionAtSource); err == nil {
			return nil
		}
	}
	return err
}

func ofConnector(accounts []session.Entry, connectorID string) []session.Entry {
	return slices.DeleteFunc(slices.Clone(accounts), func(e session.Entry) bool { return e.Value.ConnectorID != connectorID })
}

// answerSource leads the browser back to the source.
func (l *Logout) answerSource(
	w http.ResponseWriter, r *http.Request, told connector.SourceLogout, ended connector.Ended, failure error,
) error {
	if failure != nil {
		l.cfg.Log.ErrorContext(r.Context(), "sessions that ended at their source could not be ended here", "err", failure)
	}
	to, err := told.Answer(r.Context(), ended)
	switch {
	case err != nil && failure != nil:
		return notLoggedOut(err)
	case err != nil:
		return page.Errorf(http.StatusInternalServerError, "You're logged out here, but the provider can't be told.").
			Hint("You can close this page.").Because(err)
	}
	shown := ui.FormPostPage{URL: to.URL, Source: l.nameOf(r, r.PathValue("connector"))}
	if to.Form != nil {
		shown.Fields = page.Fields(to.Form)
	}
	l.page.Go(w, r, http.StatusSeeOther, shown)
	return nil
}

// nameOf returns the name of a connector in the language of the user; empty if there is none of that id.
func (l *Logout) nameOf(r *http.Request, connectorID string) string {
	all, err := l.cfg.Connectors.List(r.Context())
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(all, func(d *federation.Definition) bool { return d.ID == connectorID })
	if i < 0 {
		return ""
	}
	language := l.page.LanguageOf(r)
	if all[i].Type == federation.LocalID {
		return language.Say("Email")
	}
	return all[i].NameIn(language.Tag)
}
