package telemetry

import (
	"encoding/json"
	"net/http"
	"strings"
)

// WebHandler serves /healthz on the listener for browsers and applications: 200 with a sentence, or what unhealthy answers,
// which should be 500. A client that accepts application/json gets the state of each check instead, but no errors: this
// address is public, and errors may name hosts.
func (h *Health) WebHandler(unhealthy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		results := h.results()
		switch {
		case strings.Contains(r.Header.Get("Accept"), "application/json"):
			status := http.StatusOK
			if !passing(results) {
				status = http.StatusInternalServerError
			}
			writeJSON(w, status, short(results))
		case passing(results):
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("Health check passed")) // the client hung up: nobody is left to tell
		default:
			unhealthy.ServeHTTP(w, r)
		}
	})
}

// report serves results as JSON, with 503 unless all checks passed; type=short reduces them to PASS and FAIL.
func report(results func() map[string]result) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		now := results()
		status := http.StatusOK
		if !passing(now) {
			status = http.StatusServiceUnavailable
		}
		if r.URL.Query().Get("type") == "short" {
			writeJSON(w, status, short(now))
			return
		}
		writeJSON(w, status, now)
	})
}

// short reduces results to PASS and FAIL.
func short(results map[string]result) map[string]string {
	words := make(map[string]string, len(results))
	for name, r := range results {
		words[name] = "FAIL"
		if r.passed() {
			words[name] = "PASS"
		}
	}
	return words
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "\t")
	if err != nil { // strings, numbers and times of this century always encode
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client hung up: nobody is left to tell
}
