package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/faulttest"
)

// ending is a source at which every attempt ends as the test says.
type ending struct {
	err error
	// answers are the errors that come before, one for each return from the source.
	answers []error
	hints   []string // of the departures
}

func (e *ending) Open(context.Context, connector.Env) (any, error) { return e, nil }

func (e *ending) who() (connector.Identity, error) {
	if e.err != nil {
		return connector.Identity{}, e.err
	}
	return connector.Identity{UserID: "jane", Username: "jane"}, nil
}

func (e *ending) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	e.hints = append(e.hints, r.Again)
	return connector.Redirect{URL: r.CallbackURL + "?state=" + r.State}, nil
}

func (e *ending) HandleCallback(context.Context, connector.Return) (connector.Identity, error) {
	if len(e.answers) > 0 {
		err := e.answers[0]
		e.answers = e.answers[1:]
		return connector.Identity{}, err
	}
	return e.who()
}

func (e *ending) Refresh(context.Context, connector.Scopes, connector.Identity) (connector.Identity, error) {
	return e.who()
}

func (e *ending) TokenIdentity(context.Context, connector.Scopes, connector.SubjectToken) (connector.Identity, error) {
	return e.who()
}

// endingForm is the same behind our form.
type endingForm struct{ *ending }

func (e endingForm) Open(context.Context, connector.Env) (any, error) { return formOnly{e.ending}, nil }

type formOnly struct{ e *ending }

func (formOnly) Prompt() string { return "" }

func (f formOnly) Login(context.Context, connector.Scopes, string, string) (connector.Identity, bool, error) {
	if errors.Is(f.e.err, errWrongPassword) {
		return connector.Identity{}, false, nil
	}
	id, err := f.e.who()
	return id, err == nil, err
}

var errWrongPassword = errors.New("wrong password")

// attempts is a server both of whose sources end as the test says, with what it has logged and counted.
type attempts struct {
	*server
	source    *ending
	telemetry http.Handler
	log       *lockedBuffer
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns what was written since the last time.
func (b *lockedBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.text.String()
	b.text.Reset()
	return text
}

func startAttempts(t *testing.T, compatibility string) *attempts {
	t.Helper()
	yaml := configuration + `telemetry: {http: "127.0.0.1:0"}
oauth2: {passwordConnector: "odd id/%", skipApprovalScreen: true, compatibility: {` + compatibility + `},
  grantTypes: ["` + strings.Join(everyGrant, `", "`) + "\"]}\n"
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	s := &attempts{source: &ending{}, log: &lockedBuffer{}}
	plan.ReplaceConnector("mock", s.source)
	plan.ReplaceConnector("odd id/%", endingForm{s.source})
	a, err := app.New(t.Context(), plan, app.Options{
		Log: slog.New(slog.NewTextHandler(s.log, nil)), WrapStore: withKeys(t, plan, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	h := a.Handler()
	s.server, s.telemetry = &server{t: t, handler: h}, a.Telemetry()
	return s
}

// counted returns how many attempts of a kind there were.
func (s *attempts) counted(operation, outcome string) string {
	w := httptest.NewRecorder()
	s.telemetry.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	line := regexp.MustCompile(`(?m)^dex_connector_attempts_total\{connector="[^"]*",operation="` + operation + `",outcome="` + outcome + `"\} (\d+)$`)
	n := "0"
	for _, m := range line.FindAllStringSubmatch(w.Body.String(), -1) {
		n = m[1]
	}
	return n
}

var backLink = regexp.MustCompile(`id="back" href="([^"]*)"`)

// describe says in the words of the table what a browser is answered.
func describe(a answer) string {
	if a.status == http.StatusSeeOther {
		return "`" + a.params().Get("error") + "`"
	}
	text := html.UnescapeString(a.body)
	if strings.Contains(text, `name="password"`) {
		return fmt.Sprintf("form, %d", a.status)
	}
	if link := backLink.FindStringSubmatch(text); link != nil {
		u, err := url.Parse(link[1])
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("page %d, `%s`", a.status, u.Query().Get("error"))
	}
	return fmt.Sprintf("page %d", a.status)
}

func describeToken(a answer) string { return fmt.Sprintf("%d `%s`", a.status, a.text("error")) }

// doors are the columns of the table: each makes an attempt, and returns what came of it, and which operation it was.
func (s *attempts) doors(t *testing.T, refreshToken string) map[string]func() (got, operation, body string) {
	toForm := func(b *browser, page answer) answer {
		return b.post(page.wantStatus(http.StatusFound).path(), url.Values{"login": {"u"}, "password": {"p"}})
	}
	token := func(operation string, f url.Values) func() (string, string, string) {
		return func() (string, string, string) {
			a := s.token(f)
			return describeToken(a), operation, a.body
		}
	}
	return map[string]func() (string, string, string){
		"Login at a provider": func() (string, string, string) {
			b := s.browser()
			a := b.visit(b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path())
			return describe(a), "login", a.body
		},
		"Our password form": func() (string, string, string) {
			b := s.browser()
			a := toForm(b, b.visit(authPath("connector_id", "odd id/%")))
			return describe(a), "password", a.body
		},
		"Login for a device": func() (string, string, string) {
			begun, b := s.device(), s.browser()
			choice := b.typeCode(begun.text("user_code"), "continue")
			link := mockLink.FindStringSubmatch(choice.wantStatus(http.StatusOK).body)
			path := strings.ReplaceAll(link[1], "&amp;", "&")
			operation := "login"
			var a answer
			if errors.Is(s.source.err, errWrongPassword) {
				operation = "password"
				a = toForm(b, b.visit(strings.Replace(path, "/auth/mock", "/auth/odd%20id%2F%25", 1)))
			} else {
				a = b.visit(b.visit(path).wantStatus(http.StatusFound).path())
			}
			got := describe(a)
			if told := s.token(pollForm(begun.text("device_code"))).text("error"); told != "authorization_pending" {
				got += ", `" + told + "`"
			}
			return got, operation, a.body
		},
		"Grant `password`": token("password_grant", ownerForm()),
		"Refresh":          token("refresh", refreshForm(refreshToken)),
		"Token exchange":   token("exchange", exchangeForm()),
	}
}

// The same cause looked one way at a login and another at the token endpoint, and defects were told as passing troubles.
var _ = faulttest.Add("K11", func(t *testing.T) {
	endings := map[string]error{
		"wrong_password":   errWrongPassword,
		"denied":           &connector.Denied{Reason: "You are in none of the groups.", Cause: errors.New("internals")},
		"cancelled":        &connector.Denied{Reason: "The login was cancelled.", ByUser: true},
		"gone":             fmt.Errorf("%w: internals", connector.ErrGone),
		"account_unusable": &connector.Unusable{Reason: "Your account has no email address.", Claim: "email", Cause: errors.New("internals")},
		"token_refused":    &connector.BadToken{Reason: "it has expired", Cause: errors.New("internals")},
		"unavailable":      &connector.Temporary{Cause: errors.New("internals")},
		"broken":           errors.New("internals"),
	}
	rows := faulttest.Table(t, "../../docs/connectors/outcomes.md", "| Outcome | Login")
	if len(rows) != len(endings) {
		t.Fatalf("the table has %d outcomes, want %d", len(rows), len(endings))
	}
	s := startAttempts(t, "")
	b := s.browser()
	code := b.visit(b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path()).params().Get("code")
	refreshToken := s.token(codeForm(code)).wantStatus(http.StatusOK).text("refresh_token")
	for _, row := range rows {
		outcome := strings.Trim(row["Outcome"], "`")
		err, known := endings[outcome]
		if !known {
			t.Fatalf("the table has the outcome %s", outcome)
		}
		for door, want := range row {
			if door == "Outcome" || want == "–" {
				continue
			}
			t.Run(outcome+" "+door, func(t *testing.T) {
				s.source.err = err
				s.log.take()
				attempt := s.doors(t, refreshToken)[door]
				if attempt == nil {
					t.Fatal("no such door")
				}
				got, operation, body := attempt()
				if got != want {
					t.Errorf("got %s, want %s: %s", got, want, body)
				}
				if strings.Contains(body, "internals") {
					t.Errorf("tells a stranger the cause: %s", body)
				}
				checkLog(t, s, outcome, operation)
				checkWords(t, outcome, door, html.UnescapeString(body))
			})
		}
	}
	s.source.err = nil
	if got := s.token(refreshForm(refreshToken)); got.status != http.StatusOK {
		t.Errorf("after all that the refresh token is refused: %d %s", got.status, got.body)
	}
})

// checkLog checks the log line and the metric of an attempt.
func checkLog(t *testing.T, s *attempts, outcome, operation string) {
	t.Helper()
	if s.counted(operation, outcome) == "0" {
		t.Errorf("the metric has no %s with outcome %s", operation, outcome)
	}
	if outcome == "wrong_password" {
		return
	}
	logged := s.log.take()
	want := fmt.Sprintf("operation=%s outcome=%s retry=%t", operation, outcome, outcome == "unavailable")
	if !strings.Contains(logged, want) {
		t.Errorf("no %q in the log: %s", want, logged)
	}
}

// checkWords checks what people read.
func checkWords(t *testing.T, outcome, door, body string) {
	t.Helper()
	browser := !strings.HasPrefix(body, "{")
	want := map[bool]map[string]string{
		true: {
			"denied": "You are in none of the groups.", "account_unusable": "Your account can't be used here. Your account has no email address.",
		},
		false: {"denied": "You are in none of the groups.", "account_unusable": "Your account has no email address.", "broken": "Trying again won't help"},
	}[browser][outcome]
	if outcome == "broken" && strings.Contains(body, "class=") {
		want = "the people who run this service"
	}
	if outcome == "account_unusable" && door == "Token exchange" {
		want = "must have email"
	}
	if !strings.Contains(body, want) {
		t.Errorf("the words don't say %q: %s", want, body)
	}
	if outcome == "account_unusable" && browser && !strings.Contains(body, "Tell the people who run this service.") {
		t.Errorf("the page does not say whom to tell: %s", body)
	}
	if outcome == "broken" && strings.Contains(body, "Please try again") {
		t.Errorf("the user is asked to try in vain: %s", body)
	}
}

// A user without an address was told "server_error" by the application, and nobody knew why.
var _ = faulttest.Add("K12", func(t *testing.T) {
	s := startAttempts(t, "")
	s.source.err = &connector.Unusable{Reason: "Your account has no email address."}
	b := s.browser()
	page := b.visit(b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path()).wantStatus(http.StatusForbidden)
	text := html.UnescapeString(page.body)
	for _, want := range []string{
		"Your account can't be used here. Your account has no email address.", "Tell the people who run this service.",
		"Use another account", "error=access_denied",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on the page: %s", want, text)
		}
	}
})

// A machine whose token lacks a claim was told to come back later, and did so for ever.
var _ = faulttest.Add("K3", func(t *testing.T) {
	s := startAttempts(t, "")
	s.source.err = &connector.Unusable{Reason: "Your account has no email address.", Claim: "email"}
	a := s.token(exchangeForm())
	if a.wantError(http.StatusBadRequest, "invalid_request"); !strings.Contains(a.text("error_description"), "must have email") {
		t.Errorf("the claim is not named: %s", a.body)
	}
})

// With the switch of upstream the user sees the failure, and the application hears nothing, as before.
var _ = faulttest.Add("K11", func(t *testing.T) {
	s := startAttempts(t, "errorRedirects: upstream")
	for status, err := range map[int]error{
		http.StatusServiceUnavailable:  &connector.Temporary{Cause: errors.New("down")},
		http.StatusInternalServerError: errors.New("no such realm"),
	} {
		s.source.err = err
		b := s.browser()
		b.visit(b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path()).wantStatus(status)
	}
})

// A login page that was left open at the provider ended in server_error, and what a provider said to the application was lost.
var _ = faulttest.Add("K4", func(t *testing.T) {
	s := startAttempts(t, "")
	expired := &connector.Again{Cause: &connector.Temporary{Cause: errors.New("authentication_expired")}, Hint: "h"}
	trip := func() answer {
		b := s.browser()
		a := b.visit(authPath("connector_id", "mock"))
		for range 3 {
			if a.status == http.StatusFound {
				a = b.visit(a.path())
			}
		}
		return a
	}
	s.source.answers = []error{expired}
	if a := trip(); a.params().Get("code") == "" {
		t.Errorf("the user does not go on: %d %v", a.status, a.header)
	}
	if got := fmt.Sprint(s.source.hints); got != "[ h]" {
		t.Errorf("the hints are %s", got)
	}
	s.source.answers = []error{expired, expired, expired}
	trip().wantRedirectError("temporarily_unavailable")
	if len(s.source.answers) != 1 {
		t.Errorf("the source is asked %d times, want 2", 3-len(s.source.answers))
	}
	s.source.answers = []error{&connector.Denied{Reason: "no", ByUser: true, Code: "unmet_authentication_requirements"}}
	trip().wantRedirectError("unmet_authentication_requirements")
})
