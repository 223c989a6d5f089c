package login_test

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"dex/internal/connector"
)

// poster is a source that is reached by a form, answers by one, and has a document about us.
type poster struct {
	fails error // of the answer
	got   url.Values
}

func (p *poster) Open(context.Context, connector.Env) (any, error) { return p, nil }

func (p *poster) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	return connector.Redirect{
		URL: "https://idp.test/sso?a=1&b=2", Form: url.Values{"SAMLRequest": {"<ask>"}, "RelayState": {r.State}}, Data: []byte("data"),
	}, nil
}

func (p *poster) HandleCallback(_ context.Context, r connector.Return) (connector.Identity, error) {
	p.got = r.Request.PostForm
	if string(r.Data) != "data" || r.State != p.got.Get("RelayState") {
		return connector.Identity{}, errors.New("data or state got lost")
	}
	return connector.Identity{UserID: "jane"}, p.fails
}

func (p *poster) Metadata(context.Context) ([]byte, string, error) {
	return []byte("<EntityDescriptor/>"), "application/samlmetadata+xml", nil
}

// visitor is a browser that keeps cookies and follows nothing by itself.
type visitor struct {
	t       *testing.T
	handler http.Handler
	cookies map[string]string
}

// logins returns the names of the cookies with logins that are under way.
func (v *visitor) logins() []string {
	var names []string
	for name := range v.cookies {
		if strings.Contains(name, "dex_login_") {
			names = append(names, name)
		}
	}
	return names
}

func (v *visitor) do(method, target string, form url.Values, header http.Header) *httptest.ResponseRecorder {
	v.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	for name, values := range header {
		r.Header[name] = values
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	v.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
			continue
		}
		v.cookies[c.Name] = c.Value
	}
	return w
}

func (v *visitor) begin(more url.Values) *httptest.ResponseRecorder {
	v.t.Helper()
	request := url.Values{
		"client_id": {"app"}, "redirect_uri": {"https://app.test/cb"}, "response_type": {"code"}, "scope": {"openid"},
		"state": {"s & t"},
	}
	for name, values := range more {
		request[name] = values
	}
	return v.do(http.MethodGet, "http://dex.test/auth?"+request.Encode(), nil, nil)
}

func newVisitor(t *testing.T, c connector.Config) *visitor {
	return &visitor{t: t, handler: newFlow(t, c, nil), cookies: map[string]string{}}
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return form
}

func TestProviderByForms(t *testing.T) {
	source := &poster{}
	v := newVisitor(t, source)
	page := v.begin(nil)
	form := fields(page.Body.String())
	if page.Code != http.StatusOK || form.Get("SAMLRequest") != "<ask>" || form.Get("RelayState") == "" ||
		!strings.Contains(page.Body.String(), `action="https://idp.test/sso?a=1&amp;b=2"`) ||
		!strings.Contains(page.Body.String(), "Continue to Source") {
		t.Fatalf("the way to the provider is %d %s", page.Code, page.Body)
	}

	// From another site the form comes without our cookies.
	stranger := &visitor{t: t, handler: v.handler, cookies: map[string]string{}}
	answer := url.Values{"RelayState": {form.Get("RelayState")}, "SAMLResponse": {"<answer>"}}
	again := stranger.do(http.MethodPost, "http://dex.test/callback/src", answer, nil)
	if again.Code != http.StatusOK || !strings.Contains(again.Body.String(), `action="/callback/src"`) {
		t.Fatalf("the answer is not posted again: %d %s", again.Code, again.Body)
	}
	reposted := fields(again.Body.String())
	if lost := stranger.do(http.MethodPost, "http://dex.test/callback/src", reposted, nil); lost.Code != http.StatusBadRequest {
		t.Errorf("another browser: status %d, want 400 and no loop", lost.Code)
	}
	done := v.do(http.MethodPost, "http://dex.test/callback/src", reposted, nil)
	if done.Code != http.StatusSeeOther || !strings.Contains(done.Header().Get("Location"), "code=") {
		t.Fatalf("the login ends with %d %s %s", done.Code, done.Header().Get("Location"), done.Body)
	}
	if source.got.Get("SAMLResponse") != "<answer>" {
		t.Errorf("the source got %v", source.got)
	}
	if replayed := v.do(http.MethodPost, "http://dex.test/callback/src", reposted, nil); replayed.Code != http.StatusBadRequest {
		t.Errorf("the same answer again: status %d, want 400", replayed.Code)
	}
}

func TestStrangersAnswers(t *testing.T) {
	v := newVisitor(t, &poster{})
	for name, c := range map[string]struct {
		method string
		form   url.Values
		status int
	}{
		"no state":       {http.MethodPost, url.Values{"SAMLResponse": {"x"}}, http.StatusBadRequest},
		"a state of old": {http.MethodPost, url.Values{"RelayState": {"<script>"}}, http.StatusBadRequest},
	} {
		if w := v.do(c.method, "http://dex.test/callback", c.form, nil); w.Code != c.status {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.status)
		}
	}
}

func TestDenial(t *testing.T) {
	denied := &connector.Denied{Reason: "You are in none of the groups that may log in.", Cause: errors.New("internals")}
	post := func(t *testing.T, fails error, more url.Values) *httptest.ResponseRecorder {
		v := newVisitor(t, &poster{fails: fails})
		form := fields(v.begin(more).Body.String())
		w := v.do(http.MethodPost, "http://dex.test/callback", url.Values{"RelayState": {form.Get("RelayState")}}, nil)
		if len(v.logins()) != 0 {
			t.Errorf("the browser still holds the login: %v", v.cookies)
		}
		return w
	}
	page := post(t, denied, nil)
	body := page.Body.String()
	if page.Code != http.StatusForbidden || !strings.Contains(body, denied.Reason) || strings.Contains(body, "internals") {
		t.Errorf("the user is told %d %s", page.Code, body)
	}
	link := regexp.MustCompile(`id="back" href="([^"]+)"`).FindStringSubmatch(body)
	if link == nil {
		t.Fatalf("no way back: %s", body)
	}
	back, err := url.Parse(html.UnescapeString(link[1]))
	if err != nil {
		t.Fatal(err)
	}
	if q := back.Query(); back.Host != "app.test" || q.Get("error") != "access_denied" || q.Get("state") != "s & t" ||
		q.Get("iss") != "http://dex.test" || q.Get("error_description") != denied.Reason {
		t.Errorf("the application is told %s", back)
	}
	if !strings.Contains(body, "Use another account") || !strings.Contains(body, `href="/auth?client_id=app`) {
		t.Errorf("no way to try as somebody else: %s", body)
	}

	byForm := fields(post(t, denied, url.Values{"response_mode": {"form_post"}}).Body.String())
	if byForm.Get("error") != "access_denied" || byForm.Get("state") != "s & t" {
		t.Errorf("by form the application is told %v", byForm)
	}
	byFragment := post(t, denied, url.Values{"response_mode": {"fragment"}}).Body.String()
	if !strings.Contains(byFragment, `href="https://app.test/cb#error=access_denied`) {
		t.Errorf("by fragment the way back is in %s", byFragment)
	}
	refused := post(t, &connector.Denied{Reason: "You refused.", ByUser: true}, nil)
	if refused.Code != http.StatusSeeOther || !strings.Contains(refused.Header().Get("Location"), "error=access_denied") {
		t.Errorf("who refused at the source gets %d %s", refused.Code, refused.Header().Get("Location"))
	}
}

func TestMetadata(t *testing.T) {
	v := newVisitor(t, &poster{})
	w := v.do(http.MethodGet, "http://dex.test/saml/src/metadata", nil, nil)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/samlmetadata+xml" ||
		w.Body.String() != "<EntityDescriptor/>" {
		t.Errorf("the document is %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := v.do(http.MethodGet, "http://dex.test/saml/other/metadata", nil, nil); w.Code != http.StatusNotFound {
		t.Errorf("an unknown connector: status %d", w.Code)
	}
	other := newVisitor(t, &source{})
	if w := other.do(http.MethodGet, "http://dex.test/saml/src/metadata", nil, nil); w.Code != http.StatusNotFound {
		t.Errorf("a connector without a document: status %d", w.Code)
	}
}

// ticketed is a source that takes passwords and tickets.
type ticketed struct{ connector.Negotiation }

func (s ticketed) Open(context.Context, connector.Env) (any, error) { return s, nil }
func (ticketed) Prompt() string                                     { return "" }

func (ticketed) Login(_ context.Context, _ connector.Scopes, username, password string) (connector.Identity, bool, error) {
	return connector.Identity{UserID: username}, password == "secret", nil
}

func (s ticketed) Negotiate(_ context.Context, _ connector.Scopes, r *http.Request) connector.Negotiation {
	if r.Header.Get("Authorization") == "" && s.Challenge != "" {
		return connector.Negotiation{Challenge: "Negotiate", Form: s.Form}
	}
	return s.Negotiation
}

func TestTickets(t *testing.T) {
	jane := &connector.Identity{UserID: "jane"}
	broken := errors.New("no such attribute")
	down := &connector.Temporary{Cause: errors.New("directory is down")}
	denied := &connector.Denied{Reason: "Your account is locked."}
	for name, c := range map[string]struct {
		without    bool // a ticket
		n          connector.Negotiation
		status     int
		form       bool
		text       string
		challenged string
	}{
		"no ticket":                   {true, connector.Negotiation{Challenge: "x"}, 401, false, "send a valid Kerberos ticket", "Negotiate"},
		"no ticket, form":             {true, connector.Negotiation{Challenge: "x", Form: true}, 401, true, "", "Negotiate"},
		"refused":                     {false, connector.Negotiation{Challenge: "Negotiate no"}, 401, false, "", "Negotiate no"},
		"refused, form":               {false, connector.Negotiation{Challenge: "Negotiate no", Form: true}, 401, true, "", "Negotiate no"},
		"good":                        {false, connector.Negotiation{Identity: jane, Challenge: "Negotiate yes"}, 303, false, "", "Negotiate yes"},
		"good, source down":           {false, connector.Negotiation{Challenge: "x", Err: down}, 503, false, "looked up", "x"},
		"good, source down, form":     {false, connector.Negotiation{Challenge: "x", Err: down, Form: true}, 503, true, "with your password", "x"},
		"good, source broken":         {false, connector.Negotiation{Challenge: "x", Err: broken}, 500, false, "Trying again won", "x"},
		"good, source broken, form":   {false, connector.Negotiation{Challenge: "x", Err: broken, Form: true}, 500, true, "Trying again won", "x"},
		"good, denied, form":          {false, connector.Negotiation{Err: denied, Form: true}, 403, false, denied.Reason, ""},
		"tickets are not taken today": {true, connector.Negotiation{Form: true}, 200, true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, ticketed{c.n})
			form := v.begin(nil).Header().Get("Location")
			header := http.Header{"Authorization": {"Negotiate ticket"}}
			if c.without {
				header = nil
			}
			w := v.do(http.MethodGet, "http://dex.test"+form, nil, header)
			if got := w.Header().Get("WWW-Authenticate"); w.Code != c.status || got != c.challenged {
				t.Errorf("status %d, challenge %q; want %d, %q", w.Code, got, c.status, c.challenged)
			}
			body := w.Body.String()
			if strings.Contains(body, `name="password"`) != c.form || !strings.Contains(body, c.text) || strings.Contains(body, "directory") {
				t.Errorf("the page is %s", body)
			}
			if !c.form {
				return
			}
			typed := v.do(http.MethodPost, "http://dex.test"+form, url.Values{"login": {"jane"}, "password": {"secret"}}, nil)
			if typed.Code != http.StatusSeeOther || !strings.Contains(typed.Header().Get("Location"), "code=") {
				t.Errorf("the password leads to %d %s", typed.Code, typed.Body)
			}
		})
	}
}
