package google_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/google"
)

const iamPath = "/v1/projects/-/serviceAccounts/" + connectortest.GoogleAccount + ":generateAccessToken"

// external is the file of an identity at another provider, whose token is in a file.
func external(t *testing.T, g *connectortest.Google, more object) object {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("subject\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return connectortest.Merged(object{
		"type": "external_account", "audience": "//iam.example/pool", "token_url": g.URL + "/sts/v1/token",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": object{"file": token},
	}, more)
}

func user(g *connectortest.Google) object {
	return object{
		"type": "authorized_user", "client_id": "gcloud", "client_secret": "gcloud-secret", "refresh_token": "gcloud",
		"token_uri": g.URL + "/gcloud/token", "quota_project_id": "project",
	}
}

// Each kind of credentials looks up groups, for an administrator and as itself, by both APIs.
func TestCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		file  func(*testing.T, *connectortest.Google) object // nil for the metadata server
		alone bool                                           // it can act for nobody else
	}{
		"a key":                {func(_ *testing.T, g *connectortest.Google) object { return g.Key() }, false},
		"the metadata server":  {nil, false},
		"an external identity": {func(t *testing.T, g *connectortest.Google) object { return external(t, g, nil) }, true},
		"one by an address": {func(t *testing.T, g *connectortest.Google) object {
			return external(t, g, object{"credential_source": object{
				"url": g.URL + "/subject", "headers": object{"Metadata": "True"},
				"format": object{"type": "json", "subject_token_field_name": "access_token"},
			}})
		}, true},
		"one for an account": {func(t *testing.T, g *connectortest.Google) object {
			return external(t, g, object{"service_account_impersonation_url": g.URL + iamPath})
		}, false},
		"an account for another": {func(_ *testing.T, g *connectortest.Google) object {
			return object{
				"type": "impersonated_service_account", "service_account_impersonation_url": g.URL + iamPath, "source_credentials": g.Key(),
			}
		}, false},
		"gcloud's user": {func(_ *testing.T, g *connectortest.Google) object { return user(g) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := connectortest.NewGoogle(t)
			t.Setenv("CLOUDSDK_CONFIG", t.TempDir())
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
			t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(g.URL, "http://"))
			if c.file != nil {
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", g.File(t, c.file(t, g)))
			}
			admin := object{"admin": object{"*": "admin@corp.example"}, "nobody": nil}
			for who, admins := range admin {
				for _, api := range []string{"directory", "cloudIdentity"} {
					if c.alone && who == "admin" {
						continue
					}
					conn := open(t, g, object{"groupsFrom": api, "domainToAdminEmail": admins})
					for range 2 {
						if id, err := g.SignIn(t, conn, groups); err != nil || len(id.Groups) != 2 {
							t.Errorf("%s by %s: %+v, %v", who, api, id, err)
						}
					}
				}
			}
			if err := openError(t, g, object{"domainToAdminEmail": admin["admin"]}); (err != nil) != c.alone {
				t.Errorf("acting for an administrator: %v", err)
			}
		})
	}
}

func openError(t *testing.T, g *connectortest.Google, more object) error {
	t.Helper()
	c := &google.Config{}
	if err := connectortest.Decode(t, c, connectortest.Merged(g.Settings(), more)).Err(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Open(t.Context(), connector.Env{Log: slog.New(slog.DiscardHandler)})
	return err
}

func TestQuotaProject(t *testing.T) {
	g := connectortest.NewGoogle(t)
	c := open(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": g.File(t, user(g))})
	if _, err := g.SignIn(t, c, groups); err != nil {
		t.Fatal(err)
	}
	for _, call := range g.Calls() {
		if got := call.Header.Get("X-Goog-User-Project"); strings.HasPrefix(call.URI, directoryPath) != (got == "project") {
			t.Errorf("%s is charged to %q", call.URI, got)
		}
	}
}

// Files that can't be used are found when the connector opens.
func TestBadCredentials(t *testing.T) {
	g := connectortest.NewGoogle(t)
	key := g.Key()
	for want, file := range map[string]object{
		"its type is":                    {"type": "gdch_service_account"},
		"private_key is no PEM":          connectortest.Merged(key, object{"private_key": "x"}),
		"private_key is no RSA key":      connectortest.Merged(key, object{"private_key": "-----BEGIN X-----\nAAAA\n-----END X-----\n"}),
		"client_email is missing":        connectortest.Merged(key, object{"client_email": nil}),
		"token_uri must be":              connectortest.Merged(key, object{"token_uri": "http://evil.example/token"}),
		"token_url must be":              external(t, g, object{"token_url": "http://evil.example/token"}),
		"url must be an https URL":       external(t, g, object{"credential_source": object{"url": "http://evil.example/"}}),
		"credential_source.url must be":  external(t, g, object{"credential_source": object{"url": "http://192.0.2.1/"}}),
		"either a file or a url":         external(t, g, object{"credential_source": object{"executable": object{"command": "/bin/sh"}}}),
		"format.type must be":            external(t, g, object{"credential_source": object{"file": "x", "format": object{"type": "xml"}}}),
		"field_name is missing":          external(t, g, object{"credential_source": object{"file": "x", "format": object{"type": "json"}}}),
		"is missing":                     external(t, g, object{"audience": nil}),
		"must end in":                    external(t, g, object{"service_account_impersonation_url": g.URL + "/x"}),
		"url must be":                    external(t, g, object{"service_account_impersonation_url": "http://evil.example" + iamPath}),
		"has the account":                external(t, g, object{"service_account_impersonation_url": g.URL + "/serviceAccounts/a/b@c:generateAccessToken"}),
		"source_credentials are missing": {"type": "impersonated_service_account", "service_account_impersonation_url": g.URL + iamPath},
		"source_credentials: its type":   {"type": "impersonated_service_account", "source_credentials": object{}},
		"or act for a service account": {"type": "impersonated_service_account", "source_credentials": object{
			"type": "impersonated_service_account", "service_account_impersonation_url": g.URL + iamPath, "source_credentials": key,
		}},
		"client_id or refresh_token": {"type": "authorized_user"},
	} {
		err := openError(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": g.File(t, file)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := openError(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": "no such file"}); err == nil {
		t.Error("there is no file")
	}
}

// The token of another provider is read anew each time, and never shown.
func TestSubjectToken(t *testing.T) {
	g := connectortest.NewGoogle(t)
	path := filepath.Join(t.TempDir(), "token")
	file := external(t, g, object{"credential_source": object{"file": path}})
	c := open(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": g.File(t, file)})
	long := external(t, g, object{"credential_source": object{"url": g.URL + "/subject"}})
	byURL := open(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": g.File(t, long)})
	g.Answer("/subject", connectortest.Always(200, strings.Repeat("x", 1<<19)))
	if _, err := g.SignIn(t, byURL, groups); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Error(err)
	}
	for token, ok := range map[string]bool{"": false, "another-secret": false, "subject": true, strings.Repeat("x", 1<<19): false} {
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		g.ForgetOwn()
		_, err := g.SignIn(t, c, groups)
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "another-secret") {
			t.Errorf("%.20q: %v", token, err)
		}
	}
}

// What is kept is used until it ends.
func TestOwnTokensEnd(t *testing.T) {
	for name, file := range map[string]func(g *connectortest.Google) object{
		"by a token endpoint": func(g *connectortest.Google) object { return g.Key() },
		"by IAM": func(g *connectortest.Google) object {
			return external(t, g, object{"service_account_impersonation_url": g.URL + iamPath})
		},
	} {
		g := connectortest.NewGoogle(t)
		c := open(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": g.File(t, file(g))})
		asks := func() bool {
			t.Helper()
			g.Calls()
			if _, err := g.SignIn(t, c, groups); err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(g.Calls(), func(call connectortest.Call) bool {
				return call.Form.Get("assertion") != "" || strings.HasPrefix(call.URI, iamPath)
			})
		}
		g.OwnLife = time.Second // which is as good as over
		if first, second := asks(), asks(); !first || !second {
			t.Errorf("%s: a token is used that has ended", name)
		}
		g.OwnLife = time.Hour
		if !asks() || asks() {
			t.Errorf("%s: a token is not kept", name)
		}
	}
}

// Failures of our own are not the user's.
func TestOwnFailures(t *testing.T) {
	g := connectortest.NewGoogle(t)
	file := object{
		"type": "impersonated_service_account", "service_account_impersonation_url": g.URL + iamPath, "source_credentials": g.Key(),
		"delegates": []string{"between"},
	}
	c := open(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": g.File(t, file)})
	id, err := g.SignIn(t, c, offline)
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]connector.Outcome{
		401: connector.Broken, 403: connector.Broken, 404: connector.Broken, 500: connector.Unavailable,
	} {
		g.Answer(iamPath, connectortest.Always(status, `{"error": {"code": 1}}`))
		if _, err := c.Refresh(t.Context(), groups, id); connector.OutcomeOf(err) != want {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
	g.Answer(iamPath, nil)
	if _, err := c.Refresh(t.Context(), groups, id); connector.OutcomeOf(err) != connector.Broken {
		t.Errorf("without the account in between: %v", err)
	}
	g.Delegates = []string{"between"}
	if _, err := c.Refresh(t.Context(), groups, id); err != nil {
		t.Error(err)
	}
}

// What is sent to the token endpoints, beside what the fake checks.
func TestTokenRequests(t *testing.T) {
	const options = `{"userProject":"project"}`
	for name, c := range map[string]struct {
		more    object
		basic   bool
		options string
	}{
		"anybody":   {nil, false, ""},
		"workforce": {object{"workforce_pool_user_project": "project"}, false, options},
		"a client":  {object{"workforce_pool_user_project": "project", "client_id": "a", "client_secret": "b"}, true, ""},
	} {
		g := connectortest.NewGoogle(t)
		conn := open(t, g, object{"groupsFrom": "directory", "serviceAccountFilePath": g.File(t, external(t, g, c.more))})
		if _, err := g.SignIn(t, conn, groups); err != nil {
			t.Fatal(err)
		}
		for _, call := range g.Calls() {
			if call.URI != "/sts/v1/token" {
				continue
			}
			basic := strings.HasPrefix(call.Header.Get("Authorization"), "Basic ")
			if basic != c.basic || call.Form.Get("options") != c.options || call.Form.Has("client_id") {
				t.Errorf("%s: %v, %v", name, call.Header, call.Form)
			}
		}
	}
}

// A machine of another cloud has no metadata server of Google's.
func TestNoMetadataServer(t *testing.T) {
	g := connectortest.NewGoogle(t)
	t.Setenv("CLOUDSDK_CONFIG", t.TempDir())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(g.URL, "http://"))
	c := open(t, g, object{"domainToAdminEmail": object{"*": "admin@corp.example"}})
	const email = "/computeMetadata/v1/instance/service-accounts/default/email"
	for name, body := range map[string]string{"another server": "", "no account": "", "a path": "a/../b@c"} {
		header := []string{"Metadata-Flavor", "Google"}
		if name == "another server" {
			header, body = nil, connectortest.GoogleAccount
		}
		g.Answer(email, connectortest.Always(200, body, header...))
		if _, err := g.SignIn(t, c, groups); err == nil || !strings.Contains(err.Error(), "metadata") && !strings.Contains(err.Error(), "again soon") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if id, err := g.SignIn(t, c, connector.Scopes{}); err != nil || id.UserID == "" {
		t.Errorf("whoever needs no groups can't log in: %v", err)
	}
}

// FuzzAnswers gives the connector any answers.
func FuzzAnswers(f *testing.F) {
	f.Add(`{"sub": "1001", "email": "ada@corp.example", "email_verified": true, "hd": "corp.example"}`, `{"groups": [{"email": "ops@corp.example"}]}`)
	f.Add(`{"sub": "", "email": 1, "email_verified": "yes"}`, `{"groups": [null, {"email": null}], "nextPageToken": "x"}`)
	f.Add(`{"sub": ["1001"], "hd": ["corp.example"]}`, `{"groups": {}}`)
	f.Add(`{"SUB": "1001", "sub": "1002", "hd": "corp.example", "email": "ada@corp.example", "email_verified": "true"}`, `[]`)
	g, c := startWithKey(f, object{
		"hostedDomains": []string{"corp.example"}, "groups": []string{"ops@corp.example"}, "fetchTransitiveGroupMembership": true,
	})
	exchanger := c.(connector.TokenIdentity)
	token := connector.SubjectToken{
		Type: "urn:ietf:params:oauth:token-type:access_token", Token: g.Token("", "1001", "openid"),
	}
	f.Fuzz(func(t *testing.T, said, found string) {
		g.Answer("/v1/userinfo", connectortest.Always(200, said))
		g.Answer(directoryPath, connectortest.Always(200, found))
		id, err := exchanger.TokenIdentity(t.Context(), groups, token)
		claims := map[string]any{}
		_ = json.Unmarshal([]byte(said), &claims) // then there is no domain
		domain, _ := claims["hd"].(string)
		if err == nil && (id.UserID == "" || !slices.Contains(id.Groups, "ops@corp.example") || !strings.EqualFold(domain, "corp.example")) {
			t.Errorf("%s %s: %+v", said, found, id)
		}
		g.Calls() // forgets them
	})
}
