package ui

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
)

// render answers with a page. It is executed into memory first, so that a failing template leaves no half-written page.
func (u *UI) render(w http.ResponseWriter, r *http.Request, status int, v *view, data any) {
	body, err := u.execute(v, data)
	if err != nil {
		u.log.ErrorContext(r.Context(), "cannot render page", "err", err)
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	if compressible[v.template] && len(body) >= worthCompressing {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			if shorter, err := compressPage(body); err == nil {
				body = shorter
				h.Set("Content-Encoding", "gzip")
			}
		}
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		u.log.DebugContext(r.Context(), "browser left before the page was sent", "page", v.template, "err", err)
	}
}

// usualPage is room for most pages, in bytes.
const usualPage = 8 << 10

func (u *UI) execute(v *view, data any) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, usualPage))
	if err := u.templates.ExecuteTemplate(body, v.template, data); err != nil {
		return nil, fmt.Errorf("templates/%s: %w", v.template, err)
	}
	return body.Bytes(), nil
}
