package ui

import (
	"html/template"
	"net/http"
)

// A CheckSessionPage tells applications in the same window whether a session is still that of their login (OpenID Connect Session
// Management 1.0, section 3.2). Nobody sees it.
type CheckSessionPage struct {
	Cookie string // the name of the cookie with the browser's state, which scripts must be able to read
}

// CheckSession answers with the page. Applications anywhere show it in a frame, so it has a policy of its own.
func (u *UI) CheckSession(w http.ResponseWriter, r *http.Request, p CheckSessionPage) {
	h := w.Header()
	h.Del("X-Frame-Options")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	data := map[string]any{"Script": u.asset("static/check_session.js"), "Cookie": p.Cookie}
	if err := checkSession.Execute(w, data); err != nil {
		u.log.DebugContext(r.Context(), "browser left before the page was sent", "page", "check_session", "err", err)
	}
}

var checkSession = template.Must(template.New("check_session").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Session</title>
  <script src="{{ .Script }}" data-cookie="{{ .Cookie }}"></script>
</head>
</html>
`))
