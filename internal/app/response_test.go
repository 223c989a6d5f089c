package app_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const allResponses = "oauth2: {skipApprovalScreen: true, responseTypes: [code, token, id_token]}\n"

// throughMock signs in through the mock, without consent, and returns the last answer.
func (b *browser) throughMock(pairs ...string) answer {
	b.t.Helper()
	trip := b.visit(authPath(append(pairs, "connector_id", "mock")...)).wantStatus(http.StatusFound)
	return b.visit(trip.path())
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// posted returns where a page posts its form to, and with which fields.
func (a answer) posted() (action string, fields url.Values) {
	a.t.Helper()
	found := formAction.FindStringSubmatch(a.wantStatus(http.StatusOK).body)
	if found == nil {
		a.t.Fatalf("no form in %s", a.body)
	}
	fields = url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(a.body, -1) {
		fields.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	return html.UnescapeString(found[1]), fields
}

func halfHash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Every response type by every response mode: what is there, where it is, and how its parts are tied together.
func TestResponses(t *testing.T) {
	s := start(t, allResponses)
	for _, responseType := range []string{
		"code", "id_token", "code id_token", "code token", "id_token token", "code id_token token", "token id_token code",
	} {
		for _, mode := range []string{"", "query", "fragment", "form_post"} {
			t.Run(responseType+" "+mode, func(t *testing.T) {
				pairs := []string{"response_type", responseType}
				if mode != "" {
					pairs = append(pairs, "response_mode", mode)
				}
				tokens := responseType != "code"
				if mode == "query" && tokens {
					s.get(authPath(pairs...)).wantRedirectError("invalid_request")
					return
				}
				a := s.browser().throughMock(pairs...)
				var got url.Values
				switch {
				case mode == "form_post":
					var action string
					if action, got = a.posted(); action != callback {
						t.Errorf("the form goes to %q", action)
					}
				case tokens != strings.Contains(a.wantStatus(http.StatusSeeOther).header.Get("Location"), "#") && mode == "":
					t.Errorf("answered at %s", a.header.Get("Location"))
				default:
					got = a.params()
				}
				s.checkResponse(t, strings.Fields(responseType), got)
			})
		}
	}
}

func (s *server) checkResponse(t *testing.T, words []string, got url.Values) {
	t.Helper()
	for parameter, word := range map[string]string{
		"code": "code", "access_token": "token", "token_type": "token", "expires_in": "token", "id_token": "id_token",
	} {
		if got.Has(parameter) != slices.Contains(words, word) {
			t.Errorf("%s: present is %t, in %v", parameter, got.Has(parameter), got)
		}
	}
	if got.Get("state") != "s &=%" || got.Get("iss") != issuer {
		t.Errorf("state or iss is wrong in %v", got)
	}
	hash := func(name, of string) {
		t.Helper()
		want := any(nil)
		if got.Get(of) != "" {
			want = halfHash(got.Get(of))
		}
		if has := claims(t, got.Get("id_token"))[name]; has != want {
			t.Errorf("%s is %v, want %v", name, has, want)
		}
	}
	if got.Has("id_token") {
		hash("at_hash", "access_token")
		hash("c_hash", "code")
		if nonce := claims(t, got.Get("id_token"))["nonce"]; nonce != "n" {
			t.Errorf("nonce is %v", nonce)
		}
	}
	if got.Has("access_token") && got.Get("expires_in") != "86400" {
		t.Errorf("expires_in is %q", got.Get("expires_in"))
	}
	if got.Has("code") {
		s.token(codeForm(got.Get("code"))).wantStatus(http.StatusOK)
	}
}

func TestDepartureResponses(t *testing.T) {
	s := start(t, allResponses)
	t.Run("D-955 errors come where the answer would", func(t *testing.T) {
		for mode, want := range map[string]string{"": "#", "query": "?", "fragment": "#"} {
			for _, responseType := range []string{"id_token", "code id_token token", "token"} {
				pairs := []string{"response_type", responseType, "scope", "email"}
				if mode != "" {
					pairs = append(pairs, "response_mode", mode)
				}
				a := s.get(authPath(pairs...))
				if mode == "query" {
					want = "#" // even the refusal of a query isn't put into one, as the application looks for it elsewhere
				}
				if !strings.HasPrefix(a.header.Get("Location"), callback+want) || a.params().Get("error") == "" {
					t.Errorf("%s by %q: %s", responseType, mode, a.header.Get("Location"))
				}
			}
		}
		a := s.get(authPath("scope", "email", "response_mode", "form_post"))
		if action, fields := a.posted(); action != callback || fields.Get("error") != "invalid_scope" {
			t.Errorf("%s %v", action, fields)
		}
		s.get(authPath("response_mode", "carrier_pigeon")).wantRedirectError("invalid_request")
		if a := s.get(authPath("scope", "email")); !strings.HasPrefix(a.header.Get("Location"), callback+"?") {
			t.Errorf("an error of the code flow is at %s", a.header.Get("Location"))
		}
	})
	t.Run("D-962 expires_in with every access token", func(t *testing.T) {
		got := s.browser().throughMock("response_type", "code token").params()
		if got.Get("expires_in") != "86400" || got.Get("token_type") != "bearer" {
			t.Errorf("answer %v", got)
		}
	})
	t.Run("D-956 nonce", func(t *testing.T) {
		for _, responseType := range []string{"id_token", "code id_token", "id_token token", "code id_token token"} {
			s.get(authPath("response_type", responseType, "nonce", "-")).wantRedirectError("invalid_request")
		}
		s.browser().throughMock("response_type", "code token", "nonce", "-").wantStatus(http.StatusSeeOther)
	})
	t.Run("D-957 response_mode", func(t *testing.T) {
		a := s.browser().throughMock("response_mode", "form_post", "redirect_uri", callback+"?x=1")
		if action, fields := a.posted(); action != callback+"?x=1" || fields.Get("code") == "" {
			t.Errorf("%s %v", action, fields)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Error("the answer may be cached")
		}
		wrong := s.browser().throughMock("response_mode", "form_post", "state", `"><script>alert(1)</script>`)
		if _, fields := wrong.posted(); fields.Get("state") != `"><script>alert(1)</script>` || strings.Contains(wrong.body, "<script>alert") {
			t.Errorf("state is %v", fields)
		}
	})
	t.Run("D-808 discovery lists what is served", func(t *testing.T) {
		document := s.get("/dex/.well-known/openid-configuration").json()
		want := "[code code id_token code id_token token code token id_token id_token token]"
		if got := document["response_types_supported"]; strings.Join(strings.Fields(toText(got)), " ") != want {
			t.Errorf("response types %v", got)
		}
		if got := toText(document["response_modes_supported"]); got != "[query fragment form_post]" { // D-803
			t.Errorf("response modes %v", got)
		}
	})
	t.Run("B-23 a configured combination", func(t *testing.T) {
		one := start(t, "oauth2: {skipApprovalScreen: true, responseTypes: [code, code id_token]}\n")
		one.browser().throughMock("response_type", "id_token code").wantStatus(http.StatusSeeOther)
		one.get(authPath("response_type", "id_token")).wantRedirectError("unsupported_response_type")
		one.get(authPath("response_type", "code token")).wantRedirectError("unsupported_response_type")
		code := start(t, "")
		code.get(authPath("response_type", "code id_token")).wantRedirectError("unsupported_response_type")
	})
	t.Run("D-142 out of band", func(t *testing.T) {
		oob := []string{"client_id", "cli", "redirect_uri", "urn:ietf:wg:oauth:2.0:oob"}
		a := s.browser().throughMock(oob...).wantStatus(http.StatusOK)
		if !strings.Contains(a.body, `id="code"`) {
			t.Errorf("no code on the page: %s", a.body)
		}
		s.get(authPath(append(oob, "response_type", "code id_token token")...)).wantStatus(http.StatusBadRequest)
		strict := start(t, "oauth2: {compatibility: {outOfBand: strict}}\n")
		strict.get(authPath(oob...)).wantStatus(http.StatusBadRequest)
	})
	t.Run("D-105 no state", func(t *testing.T) {
		if got := s.browser().throughMock("response_type", "id_token", "state", "-").params(); got.Has("state") {
			t.Errorf("answer %v", got)
		}
	})
}

func toText(v any) string {
	list, _ := v.([]any)
	words := make([]string, len(list))
	for i, word := range list {
		words[i], _ = word.(string)
	}
	return "[" + strings.Join(words, " ") + "]"
}

// An id_token_hint says who is meant: they sign in where they did before, and nobody else is taken for them.
func TestHint(t *testing.T) {
	s := start(t, "")
	hint := s.tokens().text("id_token") // of the mock's user
	a := s.get(authPath("id_token_hint", hint)).wantStatus(http.StatusFound)
	if a.location().Path != "/dex/callback" {
		t.Errorf("the hint leads to %s", a.location())
	}
	s.get(authPath("id_token_hint", hint, "prompt", "select_account")).wantStatus(http.StatusOK)

	b := s.browser()
	form := b.passwordForm("id_token_hint", hint)
	if page := b.visit(form); strings.Contains(page.body, "Log in another way") {
		t.Error("the page offers to log in another way, as somebody else")
	}
	b.post(form, credentials()).wantRedirectError("login_required")
	if got := s.browser().login("id_token_hint", hint); got.Get("code") == "" {
		t.Errorf("the user of the hint gets %v", got)
	}
}

func TestDepartureMethods(t *testing.T) {
	t.Run("D-958 amr", testAuthenticationMethods)
}

// How the user signed in is in the token.
func testAuthenticationMethods(t *testing.T) {
	s := start(t, "oauth2: {skipApprovalScreen: true}\n")
	b := s.browser()
	code := b.post(b.passwordForm(), credentials()).wantStatus(http.StatusSeeOther).params().Get("code")
	a := s.token(codeForm(code)).wantStatus(http.StatusOK)
	for range 2 {
		if got := toText(claims(t, a.text("id_token"))["amr"]); got != "[pwd]" {
			t.Errorf("amr is %s", got)
		}
		a = s.token(refreshForm(a.text("refresh_token"))).wantStatus(http.StatusOK)
	}
	code = s.browser().throughMock().wantStatus(http.StatusSeeOther).params().Get("code")
	if got := claims(t, s.token(codeForm(code)).text("id_token"))["amr"]; got != nil {
		t.Errorf("amr of the mock is %v", got)
	}
}

// The switches of the authorization endpoint, each in both directions.
func TestDepartureSwitches(t *testing.T) {
	with := func(settings string) *server {
		return start(t, "oauth2: {skipApprovalScreen: true, responseTypes: [code, token, id_token], "+settings+"}\n")
	}
	upstream := with("compatibility: {clientChecks: upstream, silentLogin: upstream, browserBinding: upstream, errorRedirects: upstream}")
	strict := with("compatibility: {clientChecks: strict, endpointGrants: strict}, grantTypes: [authorization_code]")
	t.Run("D-301 any challenge", func(t *testing.T) {
		upstream.get(authPath("code_challenge", "short", "connector_id", "mock")).wantStatus(http.StatusFound)
		code := upstream.browser().throughMock("code_challenge", "short").params().Get("code")
		upstream.token(codeForm(code, "code_verifier", "short")).wantStatus(http.StatusOK)
	})
	t.Run("D-602 proof keys of public clients", func(t *testing.T) {
		local := []string{"client_id", "cli", "redirect_uri", "http://127.0.0.1:1/cb"}
		strict.get(authPath(local...)).wantRedirectError("invalid_request")
		strict.get(authPath(append(local, "code_challenge", strings.Repeat("v", 43))...)).wantStatus(http.StatusOK)
		strict.get(authPath()).wantStatus(http.StatusOK)
	})
	t.Run("D-956 nonce with a code", func(t *testing.T) {
		upstream.browser().throughMock("response_type", "code id_token", "nonce", "-").wantStatus(http.StatusSeeOther)
		upstream.get(authPath("response_type", "id_token", "nonce", "-")).wantRedirectError("invalid_request")
	})
	t.Run("D-140 port of localhost", func(t *testing.T) {
		more := "- {id: native, public: true, name: N, redirectURIs: [\"http://localhost:8000/cb\"]}\n"
		other := []string{"client_id", "native", "redirect_uri", "http://localhost:9000/cb", "connector_id", "mock"}
		startWith(t, configuration+more).get(authPath(other...)).wantStatus(http.StatusFound)
		startWith(t, configuration+more+"oauth2: {compatibility: {clientChecks: upstream}}\n").
			get(authPath(other...)).wantStatus(http.StatusBadRequest)
	})
	t.Run("D-951 D-952 silent login", func(t *testing.T) {
		upstream.get(authPath("prompt", "none")).wantStatus(http.StatusOK)
		upstream.browser().throughMock("prompt", "none").wantStatus(http.StatusSeeOther)
		asks := start(t, "oauth2: {compatibility: {silentLogin: upstream}}\n")
		asks.browser().throughMock("prompt", "none").wantRedirectError("consent_required")
	})
	t.Run("D-973 any browser", func(t *testing.T) {
		trip := upstream.get(authPath("connector_id", "mock")).wantStatus(http.StatusFound)
		if trip.header.Get("Set-Cookie") != "" {
			t.Error("there is a cookie")
		}
		upstream.get(trip.path()).wantStatus(http.StatusSeeOther)
		upstream.get(trip.path()).wantStatus(http.StatusBadRequest) // D-974
		bound := with("skipApprovalScreen: true")
		trip = bound.get(authPath("connector_id", "mock"))
		bound.get(trip.path()).wantStatus(http.StatusBadRequest)
	})
	t.Run("B-27 grants at the authorization endpoint", func(t *testing.T) {
		strict.get(authPath("response_type", "code id_token")).wantRedirectError("unsupported_response_type")
		strict.get(authPath()).wantStatus(http.StatusOK)
	})
	t.Run("D-120 grants of a client", func(t *testing.T) {
		one := startWith(t, configuration+
			"- {id: one, secret: s, name: One, redirectURIs: [\"https://app.test/callback\"], grantTypes: [authorization_code]}\n"+allResponses)
		one.get(authPath("client_id", "one")).wantStatus(http.StatusOK)
		one.get(authPath("client_id", "one", "response_type", "id_token")).wantRedirectError("unauthorized_client")
	})
}

func TestDepartureReplay(t *testing.T) {
	t.Run("D-974 replayed callback", testReplayedCallback)
}

// A source's answer counts once; who sends it again goes on where they are.
func testReplayedCallback(t *testing.T) {
	s := start(t, "")
	b := s.browser()
	trip := b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path()
	page := b.visit(trip).wantStatus(http.StatusSeeOther).path()
	if again := b.visit(trip).wantStatus(http.StatusSeeOther).path(); again != page {
		t.Errorf("the callback again leads to %s, want %s", again, page)
	}
	b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
	b.visit(trip).wantStatus(http.StatusBadRequest)
}

// B-25: a login that has taken too long ends at every step, also where requests are in the storage.
func TestDepartureLoginExpires(t *testing.T) {
	for _, binding := range []string{"default", "upstream"} {
		t.Run("B-25 "+binding, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, "oauth2: {compatibility: {browserBinding: "+binding+"}}\nexpiry: {authRequests: 1m}\n")
				b := s.browser()
				form, page := b.passwordForm(), b.consent()
				trip := b.visit(authPath("connector_id", "mock")).path()
				time.Sleep(61 * time.Second)
				b.visit(form).wantStatus(http.StatusBadRequest)
				b.post(form, credentials()).wantStatus(http.StatusBadRequest)
				b.visit(trip).wantStatus(http.StatusBadRequest)
				b.visit(page).wantStatus(http.StatusBadRequest)
			})
		})
	}
}

// Two secrets at once: while an application changes from one to the other, both are right.
func TestTwoSecrets(t *testing.T) {
	s := startWith(t, configuration+
		"- {id: two, secret: \"new secret\", previousSecret: \"old secret\", name: Two, redirectURIs: [\"https://app.test/callback\"]}\n")
	for secret, status := range map[string]int{"new secret": 200, "old secret": 200, "other": 401, "": 401} {
		a := s.token(codeForm(s.code("client_id", "two")), func(r *http.Request) {
			r.SetBasicAuth("two", url.QueryEscape(secret))
		})
		if a.status != status {
			t.Errorf("secret %q: status %d, want %d: %s", secret, a.status, status, a.body)
		}
	}
}
