package authproxy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/authproxy"
)

type object = map[string]any

func decode(t testing.TB, settings object) (*authproxy.Config, config.Problems) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	section, err := config.SectionFromJSON("connector", text)
	if err != nil {
		t.Fatal(err)
	}
	var c authproxy.Config
	return &c, section.Decode(&c)
}

func open(t testing.TB, settings object) connector.Callback {
	t.Helper()
	c, problems := decode(t, settings)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	instance, err := c.Open(t.Context(), connector.Env{ID: "the proxy/1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return instance.(connector.Callback)
}

// back is the request of a browser that comes back with headers from the proxy.
func back(t testing.TB, c connector.Callback, headers http.Header, s connector.Scopes) (connector.Identity, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://dex.test/callback/the%20proxy%2F1?state=s", nil)
	r.SetPathValue("connector", "the proxy/1")
	r.Header, r.RemoteAddr = headers, "10.1.2.3:4567"
	return c.HandleCallback(t.Context(), connector.Return{Scopes: s, State: "s", Request: r})
}

func TestSettings(t *testing.T) {
	tests := map[string]struct {
		settings object
		want     string
		warning  bool
	}{
		"name":        {object{"emailHeader": "X Mail"}, "emailHeader: must be the name of a header", false},
		"address":     {object{"trustedProxies": []string{"10.0.0.0/24", "proxy"}}, "trustedProxies: must be addresses and CIDRs", false},
		"secret":      {object{"secret": "0123456789abcdef"}, "secretHeader: goes with secret", false},
		"short":       {object{"secret": "123", "secretHeader": "X-Proxy"}, "secret: is shorter", true},
		"everybody":   {object{}, "trustedProxies: and secret are missing", true},
		"no time":     {object{"refreshMaxAge": "0s"}, "refreshMaxAge: must be longer than 0", false},
		"before time": {object{"refreshMaxAge": "-1h"}, "refreshMaxAge: must be longer than 0", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, problems := decode(t, test.settings)
			for _, p := range problems {
				if strings.HasPrefix(p.Key+": "+p.Message, test.want) && p.Warning == test.warning {
					return
				}
			}
			t.Errorf("no %q in %v", test.want, problems)
		})
	}
	_, problems := decode(t, object{"trustedProxies": []string{"::1", "10.0.0.1/24"}, "refreshMaxAge": "12h", "emailVerified": false})
	if len(problems) > 0 {
		t.Errorf("good settings: %v", problems)
	}
}

// Upstream's configurations need no section at all. That gives only warnings.
func TestNoSettings(t *testing.T) {
	var c authproxy.Config
	problems := config.Section{}.Decode(&c)
	if problems.Err() != nil || len(problems) != 2 || c.UserHeader != "X-Remote-User" {
		t.Errorf("%v, header %q", problems, c.UserHeader)
	}
}

func TestBegin(t *testing.T) {
	to, err := open(t, nil).Begin(t.Context(), connector.LoginRequest{CallbackURL: "https://dex.test/dex/callback", State: "a&b"})
	if want := "https://dex.test/dex/callback/the%20proxy%2F1?state=a%26b"; err != nil || to.URL != want || to.Form != nil {
		t.Errorf("%v, %v, want %s", to, err, want)
	}
}

func TestIdentity(t *testing.T) {
	custom := object{
		"userIDHeader": "x-id", "userHeader": "X-Forwarded-User", "userNameHeader": "X-Nick", "displayNameHeader": "X-Name",
		"emailHeader": "X-Mail", "emailVerified": false, "groupHeader": "X-Groups", "groupHeaderSeparator": ";",
		"staticGroups": []string{"all", "a"},
	}
	tests := map[string]struct {
		settings object
		headers  http.Header
		want     connector.Identity
	}{
		"user alone": {
			nil, http.Header{"X-Remote-User": {" jane "}},
			connector.Identity{UserID: "jane", Username: "jane", PreferredUsername: "jane", Email: "jane", EmailVerified: true},
		},
		"everything": {
			nil, http.Header{
				"X-Remote-User": {"jane"}, "X-Remote-User-Id": {"1"}, "X-Remote-User-Name": {"j"},
				"X-Remote-User-Email": {"jane@example.com"}, "X-Remote-Group": {"a, b,,c ", "d", "", " , b"},
			},
			connector.Identity{
				UserID: "1", Username: "jane", PreferredUsername: "j", Email: "jane@example.com", EmailVerified: true,
				Groups: []string{"a", "b", "c", "d"},
			},
		},
		"other names": {
			custom, http.Header{
				"X-Forwarded-User": {"jane"}, "X-Id": {"1"}, "X-Nick": {"j"}, "X-Name": {"Jane Doe"}, "X-Mail": {"jane@example.com"},
				"X-Groups": {"a;b,c"}, "X-Remote-User": {"admin"},
			},
			connector.Identity{
				UserID: "1", Username: "Jane Doe", PreferredUsername: "j", Email: "jane@example.com",
				Groups: []string{"a", "b,c", "all"},
			},
		},
		"static groups alone": {
			object{"staticGroups": []string{"all"}}, http.Header{"X-Remote-User": {"jane"}, "X-Remote-Group": {""}},
			connector.Identity{
				UserID: "jane", Username: "jane", PreferredUsername: "jane", Email: "jane", EmailVerified: true, Groups: []string{"all"},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := back(t, open(t, test.settings), test.headers, connector.Scopes{OfflineAccess: true})
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	var many []string
	for i := range 6000 {
		many = append(many, fmt.Sprint("g", i))
	}
	tests := map[string]struct {
		headers http.Header
		want    string
	}{
		"nobody":          {http.Header{}, "has no header X-Remote-User"},
		"empty":           {http.Header{"X-Remote-User": {" "}}, "has no header X-Remote-User"},
		"id alone":        {http.Header{"X-Remote-User-Id": {"1"}}, "has no header X-Remote-User"},
		"two users":       {http.Header{"X-Remote-User": {"jane", "admin"}}, "several headers X-Remote-User"},
		"two ids":         {http.Header{"X-Remote-User": {"jane"}, "X-Remote-User-Id": {"1", "1"}}, "several headers X-Remote-User-Id"},
		"underscores":     {http.Header{"X-Remote-User": {"jane"}, "X_remote_user": {"admin"}}, "could be taken for X-Remote-User"},
		"one underscore":  {http.Header{"X-Remote-User": {"jane"}, "X-Remote-User_id": {"0"}}, "could be taken for X-Remote-User-Id"},
		"underscore only": {http.Header{"X-Remote_group": {"admins"}, "X-Remote-User": {"jane"}}, "could be taken for X-Remote-Group"},
		"control":         {http.Header{"X-Remote-User": {"ja\x00ne"}}, "control characters"},
		"no text":         {http.Header{"X-Remote-User": {"ja\xffne"}}, "is not UTF-8"},
		"long":            {http.Header{"X-Remote-User": {strings.Repeat("j", 1025)}}, "longer than 1024"},
		"long group":      {http.Header{"X-Remote-User": {"j"}, "X-Remote-Group": {strings.Repeat("g", 1025)}}, "longer than 1024"},
		"many groups":     {http.Header{"X-Remote-User": {"j"}, "X-Remote-Group": {strings.Join(many, ",")}}, "too many groups"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			id, err := back(t, open(t, nil), test.headers, connector.Scopes{})
			if err == nil || !strings.Contains(err.Error(), test.want) || id.UserID != "" {
				t.Errorf("%v, %v, want %q", id, err, test.want)
			}
		})
	}
}

// The address without the id is not guarded by the proxy, nor is that of another connector.
func TestOtherPaths(t *testing.T) {
	c := open(t, object{"userHeader": "X-Forwarded-User"})
	for _, named := range []string{"", "other"} {
		r := httptest.NewRequest(http.MethodGet, "https://dex.test/callback?state=s", nil)
		r.Header.Set("X-Forwarded-User", "admin")
		if named != "" {
			r.SetPathValue("connector", named)
		}
		if id, err := c.HandleCallback(t.Context(), connector.Return{Request: r}); err == nil || id.UserID != "" {
			t.Errorf("%q: signed in as %v", named, id)
		}
	}
}

func TestSender(t *testing.T) {
	const secret = "0123456789abcdef"
	guarded := object{"secretHeader": "x-proxy-secret", "secret": secret}
	tests := map[string]struct {
		settings object
		secrets  []string
		ok       bool
	}{
		"address":       {object{"trustedProxies": []string{"10.1.2.3"}}, nil, true},
		"range":         {object{"trustedProxies": []string{"192.0.2.1", "10.1.0.0/16"}}, nil, true},
		"other address": {object{"trustedProxies": []string{"10.1.2.4", "::1"}}, nil, false},
		"secret":        {guarded, []string{secret}, true},
		"no secret":     {guarded, nil, false},
		"wrong secret":  {guarded, []string{secret + "!"}, false},
		"empty secret":  {guarded, []string{""}, false},
		"two secrets":   {guarded, []string{"guess", secret}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			headers := http.Header{"X-Remote-User": {"jane"}}
			if test.secrets != nil {
				headers["X-Proxy-Secret"] = test.secrets
			}
			id, err := back(t, open(t, test.settings), headers, connector.Scopes{})
			if (err == nil) != test.ok || (id.UserID == "jane") != test.ok {
				t.Errorf("%v, %v", id, err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, object{"refreshMaxAge": "12h"})
		headers := http.Header{"X-Remote-User": {"jane"}, "X-Remote-Group": {"a"}}
		id, err := back(t, c, headers, connector.Scopes{OfflineAccess: true})
		if err != nil || len(id.Data) == 0 {
			t.Fatal(id, err)
		}
		if plain, err := back(t, c, headers, connector.Scopes{}); err != nil || plain.Data != nil {
			t.Errorf("data is kept for nothing: %s, %v", plain.Data, err)
		}
		time.Sleep(12 * time.Hour)
		got, err := c.(connector.Refresher).Refresh(t.Context(), connector.Scopes{}, connector.Identity{UserID: "jane", Data: id.Data})
		if diff := cmp.Diff(id, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		for name, last := range map[string]connector.Identity{
			"another user": {UserID: "joe", Data: id.Data}, "nothing kept": {UserID: "jane"},
		} {
			if _, err := c.(connector.Refresher).Refresh(t.Context(), connector.Scopes{}, last); !errors.Is(err, connector.ErrGone) {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(time.Second)
		if _, err := c.(connector.Refresher).Refresh(t.Context(), connector.Scopes{}, id); !errors.Is(err, connector.ErrGone) {
			t.Errorf("after the time: %v", err)
		}
	})
	if _, ok := open(t, nil).(connector.Refresher); ok {
		t.Error("it refreshes without refreshMaxAge")
	}
}

// Whatever a browser sends, the result is a complete, clean identity or none.
func FuzzHeaders(f *testing.F) {
	f.Add("X-Remote-User", "jane", "X-Remote-Group", "a,b")
	f.Add("X_Remote_User", "jane", "X-Remote-User", "admin")
	f.Add("X-Remote-User", "\x00", "X-Remote-User-Email", "\xff")
	f.Add("X-Remote-User", "jane", "x-remote-user-id", "")
	c := open(f, object{"staticGroups": []string{"all"}})
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		h := http.Header{}
		h.Add(name1, value1)
		h.Add(name2, value2)
		id, err := back(t, c, h, connector.Scopes{})
		if err != nil {
			if id.UserID != "" {
				t.Errorf("an identity with an error: %v", id)
			}
			return
		}
		if h.Get("X-Remote-User") == "" || len(h.Values("X-Remote-User")) != 1 {
			t.Errorf("signed in by %v", h)
		}
		for _, text := range append(id.Groups, id.UserID, id.Username, id.PreferredUsername, id.Email) {
			if text == "" || len(text) > 1024 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q in %v", text, id)
			}
		}
	})
}
