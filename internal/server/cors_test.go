package server_test

import (
	"io"
	"net/http"
	"testing"

	"dex/internal/server"
)

func TestCORS(t *testing.T) {
	const app = "https://app.example"
	one := server.CORS{AllowedOrigins: []string{app}, AllowedHeaders: []string{"Authorization", "x-custom"}}
	two := server.CORS{AllowedOrigins: []string{"https://other.example", app}, AllowedHeaders: []string{"Authorization"}}
	anyone := server.CORS{AllowedOrigins: []string{app, "*"}, AllowedHeaders: []string{"Authorization"}}
	bare := server.CORS{AllowedOrigins: []string{app}}

	preflight := func(origin, method string, headers ...string) http.Header {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		if method != "" {
			h.Set("Access-Control-Request-Method", method)
		}
		for _, line := range headers {
			h.Add("Access-Control-Request-Headers", line)
		}
		return h
	}
	from := func(origin string) http.Header { return http.Header{"Origin": {origin}} }

	for _, tc := range []struct {
		name   string
		cors   server.CORS
		method string
		header http.Header

		status       int
		handled      bool // by the handler
		allowOrigin  string
		allowHeaders string
		vary         string
	}{
		{"allowed", one, "GET", from(app), 200, true, app, "", "Origin"},
		{"allowed post", one, "POST", from(app), 200, true, app, "", "Origin"},
		{"allowed of two", two, "GET", from(app), 200, true, app, "", "Origin"},
		{"anyone", anyone, "GET", from("https://stranger.example"), 200, true, "*", "", ""},
		{"anyone, but no origin", anyone, "GET", nil, 200, true, "", "", ""},
		{"not allowed", one, "GET", from("https://stranger.example"), 200, true, "", "", "Origin"},
		{"absent", one, "GET", nil, 200, true, "", "", "Origin"},
		{"other case", one, "GET", from("https://APP.example"), 200, true, "", "", "Origin"},
		{"trailing slash", one, "GET", from(app + "/"), 200, true, "", "", "Origin"},
		{"port", one, "GET", from(app + ":443"), 200, true, "", "", "Origin"},
		{"null", one, "GET", from("null"), 200, true, "", "", "Origin"},

		{"options: not allowed", one, "OPTIONS", preflight("https://stranger.example", "POST"), 200, false, "", "", "Origin"},
		{"options: absent", one, "OPTIONS", preflight("", "POST"), 200, false, "", "", "Origin"},
		{"options: no method", one, "OPTIONS", preflight(app, ""), 400, false, app, "", "Origin"},
		{"options: delete", one, "OPTIONS", preflight(app, "DELETE"), 405, false, app, "", "Origin"},
		{"options: lower case", one, "OPTIONS", preflight(app, "get"), 405, false, app, "", "Origin"},
		{"options: header not allowed", one, "OPTIONS", preflight(app, "POST", "x-other"), 403, false, app, "", "Origin"},
		{"options: content type", one, "OPTIONS", preflight(app, "POST", "content-type"), 403, false, app, "", "Origin"},
		{"options: one of two not allowed", one, "OPTIONS", preflight(app, "POST", "authorization, x-other"), 403, false, app, "", "Origin"},
		{"options: second line not allowed", one, "OPTIONS", preflight(app, "POST", "authorization", "x-other"), 403, false, app, "", "Origin"},
		{"options: fine", one, "OPTIONS", preflight(app, "POST"), 200, false, app, "", "Origin"},
		{"options: fine get", one, "OPTIONS", preflight(app, "GET"), 200, false, app, "", "Origin"},
		{"options: fine head", one, "OPTIONS", preflight(app, "HEAD"), 200, false, app, "", "Origin"},
		{"options: header", one, "OPTIONS", preflight(app, "GET", "authorization"), 200, false, app, "Authorization", "Origin"},
		{"options: headers", one, "OPTIONS", preflight(app, "GET", "accept, authorization,X-CUSTOM ,origin"), 200, false, app, "Authorization,X-Custom", "Origin"},
		{"options: harmless headers", bare, "OPTIONS", preflight(app, "GET", "accept,accept-language,content-language,origin"), 200, false, app, "", "Origin"},
		{"options: replaced default", bare, "OPTIONS", preflight(app, "GET", "authorization"), 403, false, app, "", "Origin"},
		{"options: anyone", anyone, "OPTIONS", preflight("https://x.example", "GET", "authorization"), 200, false, "*", "Authorization", ""},

		{"off", server.CORS{AllowedHeaders: []string{"Authorization"}}, "GET", from(app), 200, true, "", "", ""},
		{"off: options", server.CORS{}, "OPTIONS", preflight(app, "POST"), 200, true, "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opts := options("/dex")
			opts.CORS = tc.cors
			base := start(t, opts,
				server.Route{Pattern: "/token", Handler: text("handled"), CORS: true},
				server.Route{Pattern: "/auth", Handler: text("handled")},
			)
			resp, body := do(t, tc.method, base+"/dex/token", tc.header)
			if resp.StatusCode != tc.status || (body == "handled") != tc.handled || (!tc.handled && body != "") {
				t.Errorf("%d %q, want %d, handled %v", resp.StatusCode, body, tc.status, tc.handled)
			}
			credentials := ""
			if tc.allowOrigin == app {
				credentials = "true"
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin":      tc.allowOrigin,
				"Access-Control-Allow-Headers":     tc.allowHeaders,
				"Vary":                             tc.vary,
				"Access-Control-Allow-Methods":     "",
				"Access-Control-Allow-Credentials": credentials,
				"Access-Control-Max-Age":           "",
				"Access-Control-Expose-Headers":    "",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			resp, body = do(t, tc.method, base+"/dex/auth", tc.header)
			if body != "handled" || resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Vary") != "" {
				t.Errorf("a route without CORS: %q %q", body, resp.Header)
			}
		})
	}
}

func TestCORSKeepsTheHandlersVary(t *testing.T) {
	opts := options("")
	opts.CORS = server.CORS{AllowedOrigins: []string{"https://app.example"}}
	base := start(t, opts, server.Route{Pattern: "/keys", CORS: true, Methods: []string{"GET"},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Vary", "Accept")
			_, _ = io.WriteString(w, "keys")
		})})
	resp, _ := do(t, "GET", base+"/keys", http.Header{"Origin": {"https://app.example"}})
	if got := resp.Header.Values("Vary"); len(got) != 2 {
		t.Errorf("Vary: %q", got)
	}
	// A script may read a refusal, too.
	resp, _ = do(t, "POST", base+"/keys", http.Header{"Origin": {"https://app.example"}})
	if resp.StatusCode != 405 || resp.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("405: %d %q", resp.StatusCode, resp.Header)
	}
}
