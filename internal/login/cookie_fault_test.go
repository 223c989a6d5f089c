package login_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/faulttest"
	"dex/internal/login"
	"dex/internal/seal"
)

// at gives the pages another issuer.
func at(t *testing.T, issuer string) func(*login.Config) {
	return func(c *login.Config) {
		u, err := url.Parse(issuer)
		if err != nil {
			t.Fatal(err)
		}
		c.IssuerURL = u
	}
}

// Cookies could be put into a browser by any neighbour in the same domain, and a login with them.
var _ = faulttest.Add("R15", func(t *testing.T) {
	for issuer, prefix := range map[string]string{
		"https://dex.test": "__Host-dex_login_", "https://dex.test/": "__Host-dex_login_", "https://dex.test/dex": "__Secure-dex_login_",
		"http://dex.test": "dex_login_",
	} {
		var ring *seal.Ring
		h := newFlow(t, &source{}, func(c *login.Config) { at(t, issuer)(c); ring = c.Ring })
		v := &visitor{t: t, handler: h, cookies: map[string]string{}}
		begun := v.begin(nil)
		cookies := begun.Result().Cookies()
		if len(cookies) != 1 || !strings.HasPrefix(cookies[0].Name, prefix) {
			t.Fatalf("%s: cookies %v", issuer, cookies)
		}
		c := cookies[0]
		if secure := strings.HasPrefix(issuer, "https:"); c.Secure != secure || c.Domain != "" || prefix[:6] == "__Host" && c.Path != "/" {
			t.Errorf("%s: cookie %s", issuer, c)
		}
		id := strings.TrimPrefix(c.Name, prefix)
		back := "http://dex.test/callback?state=" + id
		bare := &visitor{t: t, handler: h, cookies: map[string]string{"dex_login_" + id: c.Value}}
		if w := bare.do(http.MethodGet, back, nil, nil); (w.Code == http.StatusSeeOther) != (prefix == "dex_login_") {
			t.Errorf("%s: under a name that neighbours can set the cookie is answered with %d", issuer, w.Code)
		}
		if prefix != "dex_login_" { // begun by an earlier release
			purpose := strings.TrimSuffix(prefix, "dex_login_") + "login:" + id
			plain, err := ring.Open(context.Background(), purpose, c.Value)
			if err != nil {
				t.Fatal(err)
			}
			old := &visitor{t: t, handler: h, cookies: map[string]string{"dex_login_" + id: ring.Seal("login:"+id, plain)}}
			if w := old.do(http.MethodGet, back, nil, nil); w.Code != http.StatusSeeOther || len(old.logins()) != 0 {
				t.Errorf("%s: a login of an earlier release ends with %d, and leaves %v", issuer, w.Code, old.cookies)
			}
		}
		if w := v.do(http.MethodGet, back, nil, nil); w.Code != http.StatusSeeOther || len(v.logins()) != 0 {
			t.Errorf("%s: the login ends with %d, and leaves %v", issuer, w.Code, v.cookies)
		}
	}
})

// The answer that begins a login did not fit into the buffers that nginx has by default, where the request was long.
var _ = faulttest.Add("N6", func(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	for name, state := range map[string]string{
		"random": func() string {
			b := make([]byte, 2400*3/4)
			_, _ = random.Read(b)
			return base64.RawURLEncoding.EncodeToString(b)
		}(),
		"JSON": func() string {
			document, err := json.Marshal(map[string]any{
				"returnTo": "https://app.example.com/" + strings.Repeat("projects/42/", 150), "nonce": fmt.Sprint(random.Uint64()),
			})
			if err != nil {
				t.Fatal(err)
			}
			return base64.URLEncoding.EncodeToString(document)
		}(),
	} {
		for _, consent := range []bool{false, true} {
			ask := func(c *login.Config) { c.SkipApproval = !consent }
			v := &visitor{t: t, handler: newFlow(t, &source{}, ask), cookies: map[string]string{}}
			fits := func(w *httptest.ResponseRecorder) string {
				size := 0
				for header, values := range w.Header() {
					for _, value := range values {
						size += len(header) + len(": \r\n") + len(value)
					}
				}
				const others = 200 // status, date, the request's id
				if size+others > 4096 {
					t.Errorf("%s, consent %v: a state of %d bytes makes a head of %d", name, consent, len(state), size+others)
				}
				return w.Header().Get("Location")
			}
			back := fits(v.do(http.MethodGet, fits(v.begin(url.Values{"state": {state}})), nil, nil))
			if consent {
				approve := url.Values{"approval": {"approve"}}
				page := back
				back = fits(v.do(http.MethodPost, page, approve, nil))
				if again := fits(v.do(http.MethodPost, page, approve, nil)); again != back {
					t.Errorf("%s: a second press leads to %s, not to %s", name, again, back)
				}
			}
			u, err := url.Parse(back)
			if err != nil || u.Query().Get("state") != state {
				t.Errorf("%s, consent %v: the state comes back as %s", name, consent, back)
			}
		}
	}
})

// A login ends at its time by the clock of this server, whatever the browser does.
var _ = faulttest.Add("T-cookie-138", func(t *testing.T) {
	for _, late := range []time.Duration{59 * time.Minute, 61 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			v := newVisitor(t, &source{})
			back := v.begin(nil).Header().Get("Location")
			time.Sleep(late)
			if w := v.do(http.MethodGet, back, nil, nil); (w.Code == http.StatusSeeOther) != (late < time.Hour) {
				t.Errorf("after %s the login is answered with %d", late, w.Code)
			}
		})
	}
})

// A browser is made to carry some logins only, and some kilobytes, the newest.
var _ = faulttest.Add("T-cookie-173", func(t *testing.T) {
	for name, long := range map[string]int{"many": 10, "large": 1500} {
		synctest.Test(t, func(t *testing.T) {
			v := newVisitor(t, &source{})
			random := rand.NewChaCha8([32]byte{})
			var last *httptest.ResponseRecorder
			for range 30 {
				b := make([]byte, long)
				_, _ = random.Read(b)
				last = v.begin(url.Values{"state": {base64.RawURLEncoding.EncodeToString(b)}})
				time.Sleep(time.Second)
			}
			size := 0
			for name, value := range v.cookies {
				size += len(name) + len(value)
			}
			if len(v.cookies) > 10 || size > 7<<10 || len(v.cookies) < 2 {
				t.Errorf("%s: the browser holds %d cookies, %d bytes", name, len(v.cookies), size)
			}
			if w := v.do(http.MethodGet, last.Header().Get("Location"), nil, nil); w.Code != http.StatusSeeOther {
				t.Errorf("%s: the newest login ends with %d", name, w.Code)
			}
		})
	}
})

// All cookies of a browser fit into the 8 KiB that proxies take by default for a header, however many logins it has under way, and with
// what it remembers of those that have ended.
func TestCookiesFitIntoAHeader(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	state := func(long int) url.Values {
		b := make([]byte, long)
		_, _ = random.Read(b)
		return url.Values{"state": {base64.RawURLEncoding.EncodeToString(b)}}
	}
	for long := 10; long <= 2000; long += 30 {
		v := &visitor{t: t, cookies: map[string]string{"dex_language": "zh-Hant", "dex_connector": strings.Repeat("c", 256)}}
		v.handler = newFlow(t, &source{}, func(c *login.Config) {
			at(t, "https://dex.test")(c)
			c.RememberConnector = true
		})
		v.do(http.MethodGet, v.begin(state(750)).Header().Get("Location"), nil, nil)
		if len(v.cookies) != 3 {
			t.Fatalf("the browser remembers no login that has ended: %d cookies", len(v.cookies))
		}
		for range 11 {
			v.begin(state(long))
		}
		size := len("Cookie: \r\n")
		for name, value := range v.cookies {
			size += len(name) + len("=; ") + len(value)
		}
		if size > 8<<10 {
			t.Errorf("with states of %d bytes, %d cookies make a header of %d", long, len(v.cookies), size)
		}
	}
}

// Whoever has signed in has an hour for the consent page, however long logins may take.
var _ = faulttest.Add("T-finish-77", func(t *testing.T) {
	for _, late := range []time.Duration{59 * time.Minute, 61 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			v := &visitor{t: t, cookies: map[string]string{}, handler: newFlow(t, &source{}, func(c *login.Config) {
				c.SkipApproval, c.RequestLifetime = false, 24*time.Hour
			})}
			consent := v.do(http.MethodGet, v.begin(nil).Header().Get("Location"), nil, nil).Header().Get("Location")
			time.Sleep(late)
			w := v.do(http.MethodPost, consent, url.Values{"approval": {"approve"}}, nil)
			if (w.Code == http.StatusSeeOther) != (late < time.Hour) {
				t.Errorf("after %s the answer to the consent page gets %d %s", late, w.Code, w.Body)
			}
		})
	}
})

// A provider's answer with a parameter twice was taken by the first, and read by somebody else by the other perhaps.
var _ = faulttest.Add("R27", func(t *testing.T) {
	for _, name := range []string{"code", "state", "iss", "error", "SAMLResponse", "RelayState", "id_token"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			v := newVisitor(t, &source{})
			back := v.begin(nil).Header().Get("Location")
			id := back[strings.Index(back, "state=")+len("state="):]
			answer := url.Values{"state": {id}, name: {id, "another"}}
			target, form := "http://dex.test/callback?"+answer.Encode(), url.Values(nil)
			if method == http.MethodPost {
				target, form = "http://dex.test/callback", answer
				form.Set("dex_reposted", "1")
			}
			if w := v.do(method, target, form, nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "twice") {
				t.Errorf("%s with two of %s: status %d %s", method, name, w.Code, w.Header().Get("Location"))
			}
		}
	}
})
