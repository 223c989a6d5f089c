package ui

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dex/internal/locale"
)

// LanguagePath is the address, below the issuer's, by which somebody chooses a language.
const LanguagePath = "/language"

const (
	languageCookie = "dex_language"
	languageLife   = 365 * 24 * time.Hour
	// maxBack bounds the address of the page to go back to, in bytes: a request with everything that an application may send.
	maxBack = 32 << 10
)

// Language remembers the language that somebody has chosen, and shows the page again from which they came.
func (u *UI) Language(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	w.Header().Set("Cache-Control", "no-store")
	if l := u.cfg.Languages.Named(query.Get("to")); l != nil {
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure where the issuer is https
			Name: languageCookie, Value: l.Tag, Path: u.HomePath(), MaxAge: int(languageLife.Seconds()),
			Secure: strings.HasPrefix(u.cfg.Origin, "https:"), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
	http.Redirect(w, r, u.pageOfOurs(query.Get("back")), http.StatusSeeOther) //nolint:gosec // G710: pageOfOurs leads nowhere else
}

// pageOfOurs returns the address of a page of ours, or that of the home page instead of any other address: nobody may use us to send
// people elsewhere.
func (u *UI) pageOfOurs(address string) string {
	home := u.cfg.IssuerPath
	if home == "" {
		home = "/"
	}
	to, err := url.ParseRequestURI(address)
	switch {
	case err != nil, len(address) > maxBack, to.Scheme != "", to.Host != "", !strings.HasPrefix(address, "/"),
		strings.HasPrefix(address, "//"), strings.ContainsAny(address, "\\\t\r\n"):
		return home
	case strings.Contains(to.Path+"/", "/../"): // which browsers resolve
		return home
	case to.Path != u.cfg.IssuerPath && !strings.HasPrefix(to.Path, u.cfg.IssuerPath+"/"):
		return home
	}
	return address
}

type wishKey struct{}

// Wishing returns a request during which it may turn out which languages an application wishes for.
func Wishing(r *http.Request) *http.Request {
	if _, ok := r.Context().Value(wishKey{}).(*string); ok {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), wishKey{}, new(string)))
}

// Wish notes which languages the application wishes for (ui_locales) on whose behalf a request comes, so that all pages of the request
// are in one of them, those about errors too.
func Wish(ctx context.Context, locales string) {
	if wish, ok := ctx.Value(wishKey{}).(*string); ok {
		*wish = locales
	}
}

func wishOf(ctx context.Context) string {
	if wish, ok := ctx.Value(wishKey{}).(*string); ok {
		return *wish
	}
	return ""
}

// language returns the language that somebody has chosen on a page, or that the application, the browser or the configuration
// wishes for.
func (u *UI) language(r *http.Request) *locale.Language {
	if chosen, err := r.Cookie(languageCookie); err == nil {
		if l := u.cfg.Languages.Named(chosen.Value); l != nil {
			return l
		}
	}
	return u.cfg.Languages.Choose(wishOf(r.Context()), r.Header.Get("Accept-Language"))
}
