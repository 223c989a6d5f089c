package relyingparty_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// A fakeAPI answers calls without a network, so that tests of waiting need not wait.
type fakeAPI func(*http.Request) (status int, header http.Header, body string)

func (f fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	status, header, body := f(r)
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// client follows no redirect of a call with a token, as the clients of package outbound don't.
func (f fakeAPI) client() *http.Client {
	return &http.Client{Transport: f, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (f fakeAPI) calls() *relyingparty.Calls {
	given := &relyingparty.Tokens{Access: "access", Type: "bearer"}
	return given.As(f.client(), http.Header{"accept": {"application/json"}})
}

func TestCalls(t *testing.T) {
	api := fakeAPI(func(r *http.Request) (int, http.Header, string) {
		sent, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer access" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("the call has %v", r.Header)
		}
		switch r.URL.Path {
		case "/ok":
			return 200, nil, `{"sent": "` + strings.ReplaceAll(string(sent), `"`, "'") + `", "type": "` + r.Header.Get("Content-Type") + `"}`
		case "/gone":
			return 401, http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}, ""
		case "/limit":
			return 403, http.Header{"X-Ratelimit-Remaining": {"0"}}, `{"message": "API rate limit exceeded"}`
		case "/forbidden":
			return 403, nil, ""
		}
		return 502, nil, ""
	})
	var got struct{ Sent, Type string }
	if err := api.calls().GetJSON(t.Context(), "https://api.test/ok", &got); err != nil || got.Sent != "" || got.Type != "" {
		t.Errorf("%+v, %v", got, err)
	}
	err := api.calls().PostJSON(t.Context(), "https://api.test/ok", map[string]bool{"all": true}, &got)
	if err != nil || got.Sent != "{'all':true}" || got.Type != "application/json" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := api.calls().GetJSON(t.Context(), "https://api.test/ok", new(int)); err == nil {
		t.Error("an answer of another form is taken")
	}
	for path, want := range map[string]connector.Outcome{
		"/gone": connector.Gone, "/limit": connector.Unavailable, "/forbidden": connector.Broken, "/down": connector.Unavailable,
	} {
		_, err := api.calls().Get(t.Context(), "https://api.test"+path)
		if got := connector.OutcomeOf(relyingparty.GoneIfUnknown(err)); got != want {
			t.Errorf("%s: %s, want %s: %v", path, got, want, err)
		}
	}
}

func TestRateLimit(t *testing.T) {
	for name, c := range map[string]struct {
		header func(calls int) string // Retry-After; empty for an answer at last
		calls  int
		lasts  time.Duration
		fails  bool
	}{
		"seconds": {func(calls int) string { return []string{"3", "0", ""}[calls-1] }, 3, 4 * time.Second, false},
		"a date": {func(calls int) string {
			return []string{time.Now().Add(5 * time.Second).UTC().Format(http.TimeFormat), ""}[calls-1]
		}, 2, 5 * time.Second, false},
		"too long":   {func(int) string { return "3600" }, 1, 0, true},
		"for ever":   {func(int) string { return "4" }, 3, 8 * time.Second, true},
		"no word":    {func(int) string { return "later" }, 1, 0, true},
		"a huge one": {func(int) string { return "99999999999999999999" }, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, began := 0, time.Now()
				api := fakeAPI(func(*http.Request) (int, http.Header, string) {
					if calls++; c.header(calls) != "" {
						return 429, http.Header{"Retry-After": {c.header(calls)}}, ""
					}
					return 200, nil, "{}"
				})
				_, err := api.calls().Get(t.Context(), "https://api.test/")
				if (err != nil) != c.fails || c.fails && connector.OutcomeOf(err) != connector.Unavailable {
					t.Errorf("%v", err)
				}
				if lasted := time.Since(began); calls != c.calls || lasted != c.lasts {
					t.Errorf("%d calls in %v, want %d in %v", calls, lasted, c.calls, c.lasts)
				}
			})
		})
	}
}

// Google doesn't say how long to wait.
func TestQuota(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		fails  bool
		lasts  time.Duration
		want   connector.Outcome
	}{
		"a rate":     {403, `{"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}]}}`, false, 3 * time.Second, connector.Succeeded},
		"exhausted":  {429, `{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}`, false, 3 * time.Second, connector.Succeeded},
		"for ever":   {403, `{"error": {"errors": [{"reason": "userRateLimitExceeded"}]}}`, true, 7 * time.Second, connector.Unavailable},
		"no quota":   {403, `{"error": {"errors": [{"reason": "forbidden"}]}}`, true, 0, connector.Broken},
		"no word":    {429, ``, true, 0, connector.Unavailable},
		"other form": {403, `{"error": "insufficient_scope"}`, true, 0, connector.Broken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, began := 0, time.Now()
				api := fakeAPI(func(*http.Request) (int, http.Header, string) {
					if calls++; c.fails || calls < 3 {
						return c.status, nil, c.body
					}
					return 200, nil, "{}"
				})
				_, err := api.calls().Get(t.Context(), "https://api.test/")
				if connector.OutcomeOf(err) != c.want || time.Since(began) != c.lasts {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// GitHub says by 403 that there were too many calls, in its header or in its message alone.
func TestForbiddenForNow(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		body   string
		want   connector.Outcome
	}{
		{http.Header{"X-Ratelimit-Remaining": {"0"}}, "{}", connector.Unavailable},
		{http.Header{"Retry-After": {"3600"}}, "{}", connector.Unavailable},
		{nil, `{"message": "You have exceeded a secondary rate limit."}`, connector.Unavailable},
		{http.Header{"X-Ratelimit-Remaining": {"1"}}, `{"message": "Forbidden"}`, connector.Broken},
	} {
		api := fakeAPI(func(*http.Request) (int, http.Header, string) { return 403, c.header, c.body })
		if _, err := api.calls().Get(t.Context(), "https://api.test/"); connector.OutcomeOf(err) != c.want {
			t.Errorf("%v %s: %v", c.header, c.body, err)
		}
	}
}

func TestOwnCalls(t *testing.T) {
	api := fakeAPI(func(r *http.Request) (int, http.Header, string) {
		id, secret, _ := r.BasicAuth()
		return 200, nil, fmt.Sprintf(`{"id": %q, "secret": %q, "accept": %q}`, id, secret, r.Header.Get("Accept"))
	})
	us := &relyingparty.Client{ID: "dex", Secret: "s: %"}
	var said struct{ ID, Secret, Accept string }
	err := us.Own().As(api.client(), http.Header{"Accept": {"x"}}).GetJSON(t.Context(), "https://api.test/", &said)
	if err != nil || said.ID != "dex" || said.Secret != "s: %" || said.Accept != "x" {
		t.Errorf("%+v, %v", said, err)
	}
}

func TestCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		calls := fakeAPI(func(*http.Request) (int, http.Header, string) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return 200, nil, "{}"
		}).calls()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := calls.Get(t.Context(), "https://api.test/"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 8 {
			t.Errorf("%d calls at once", most.Load())
		}
	})
}

func TestPages(t *testing.T) {
	last := 3
	next := func(page int) string { return fmt.Sprintf("/list?page=%d", page+1) }
	asked := 0
	api := fakeAPI(func(r *http.Request) (int, http.Header, string) {
		asked++
		var page int
		_, _ = fmt.Sscanf(r.URL.Query().Get("page"), "%d", &page)
		if page >= last {
			return 200, nil, fmt.Sprint(page)
		}
		return 200, http.Header{"Link": {"<" + next(page) + `>; rel="next"`}}, fmt.Sprint(page)
	})
	list := func() (string, error) {
		var all strings.Builder
		err := api.calls().Pages(t.Context(), "https://api.test/list?page=1", func(a *outbound.Answer) (string, error) {
			all.Write(a.Body)
			return relyingparty.NextLink(a), nil
		})
		return all.String(), err
	}
	if got, err := list(); got != "123" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, elsewhere := range []string{"https://evil.test/", "http://api.test/list", "//evil.test/", "https://api.test:8443/"} {
		next = func(int) string { return elsewhere }
		asked = 0
		if _, err := list(); err == nil || asked != 1 {
			t.Errorf("%s is asked: %v", elsewhere, err)
		}
	}
	next, last, asked = func(int) string { return "?page=1" }, 1<<30, 0
	if _, err := list(); connector.OutcomeOf(err) != connector.Broken || asked != 1 {
		t.Errorf("a list in circles: %d pages, %v", asked, err)
	}
	next, asked = func(page int) string { return fmt.Sprintf("?page=%d", page+1) }, 0
	if _, err := list(); connector.OutcomeOf(err) != connector.AccountUnusable || asked != 200 {
		t.Errorf("a list without an end: %d pages, %v", asked, err)
	}
	stop := errors.New("stop")
	err := api.calls().Pages(t.Context(), "https://api.test/list", func(*outbound.Answer) (string, error) { return "x", stop })
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestPostPages(t *testing.T) {
	next := "https://api.test/list?page=2"
	api := fakeAPI(func(r *http.Request) (int, http.Header, string) {
		sent, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || string(sent) != `{"all":true}` {
			t.Errorf("%s %s", r.Method, sent)
		}
		if r.URL.RawQuery != "" {
			return 200, nil, ""
		}
		return 200, nil, next
	})
	pages := 0
	list := func() error {
		pages = 0
		return api.calls().PostPages(t.Context(), "https://api.test/list", map[string]bool{"all": true},
			func(a *outbound.Answer) (string, error) { pages++; return string(a.Body), nil })
	}
	if err := list(); err != nil || pages != 2 {
		t.Errorf("%d pages, %v", pages, err)
	}
	next = "https://evil.test/list?page=2"
	if err := list(); err == nil || pages != 1 {
		t.Errorf("%d pages, %v", pages, err)
	}
}

func TestNextLink(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "nonsense": "", "<": "", `<https://a.test/2>`: "",
		`<https://a.test/2>; rel="next"`: "https://a.test/2",
		`<https://a.test/2>;rel=next`:    "https://a.test/2",
		`<https://a.test/1>; rel="prev", <https://a.test/?a=1,2&b=;>; rel="next", <https://a.test/9>; rel="last"`: "https://a.test/?a=1,2&b=;",
		`<https://a.test/2>; title="x"; REL="last Next"`:                                                          "https://a.test/2",
		`<https://a.test/1>; rel="nextish"`:                                                                       "",
		`<https://a.test/1>; next="rel"`:                                                                          "",
		`<https://a.test/1>; rel="first",<https://a.test/2>; rel="next"; x=`:                                      "https://a.test/2",
	} {
		if got := relyingparty.NextLink(&outbound.Answer{Header: http.Header{"Link": {header}}}); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

// A call is led on to other addresses of the same host, and takes its token nowhere else.
func TestRedirects(t *testing.T) {
	var asked []string
	to := ""
	api := fakeAPI(func(r *http.Request) (int, http.Header, string) {
		asked = append(asked, r.Method+" "+r.URL.String())
		if r.URL.Path == "/end" {
			return 200, nil, "{}"
		}
		return 307, http.Header{"Location": {to}}, ""
	})
	for target, want := range map[string]int{
		"/end": 2, "https://api.test/end": 2, "https://evil.test/end": 1, "http://api.test/end": 1, "https://api.test:444/end": 1, "": 4,
		"/start": 4, "https://api.test@evil.test/end": 1, ":": 1,
		"HTTPS://API.Test:443/end": 2, "https://api.test:/end": 2, "https://api.test./end": 1, "https:end": 1, "https:///end": 1,
		"https://api.test:80/end": 1, "https://evil.test\\@api.test/end": 1, "https://me:pw@api.test/end": 2,
	} {
		to, asked = target, nil
		_, err := api.calls().Get(t.Context(), "https://api.test/start")
		if len(asked) != want || (err == nil) != (want == 2) {
			t.Errorf("%s: %q, %v", target, asked, err)
		}
		if last := asked[len(asked)-1]; want == 2 && last != "GET https://api.test/end" {
			t.Errorf("%s: %s", target, last)
		}
	}
	to, asked = "/end", nil
	if err := api.calls().PostJSON(t.Context(), "https://api.test/start", 1, new(int)); err == nil || len(asked) != 1 {
		t.Errorf("a POST is redirected: %q", asked)
	}
}

func TestRefusals(t *testing.T) {
	for body, want := range map[string]string{
		`{"error": "invalid_request", "error_description": "no"}`: `the provider answers 400 invalid_request "no"`,
		`{"error": {"code": "Denied", "message": "no"}}`:          `the provider answers 400 Denied "no"`,
		`{"error": {"code": 400, "message": "no"}}`:               `the provider answers 400 "no"`,
		`{"message": "no", "documentation_url": "x"}`:             `the provider answers 400 "no"`,
		`{"message": {"x": 1}}`:                                   `the provider answers 400`,
		`{"error": [1], "message": "no"}`:                         `the provider answers 400 "no"`,
		`<html>`:                                                  `the provider answers 400`,
		`{"error": null}`:                                         `the provider answers 400`,
		`[]`:                                                      `the provider answers 400`,
	} {
		if got := relyingparty.AnswerError(&outbound.Answer{Status: 400, Body: []byte(body)}).Error(); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}
