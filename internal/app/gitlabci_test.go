package app_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector/connectortest"
)

var curlData = regexp.MustCompile(`--data(?:-urlencode)? "?([a-z_]+)=([^"\s]+(?: [^"\s-][^"\s]*)*)`)

// The recipe for jobs of GitLab does what its page says.
func TestGitLabCI(t *testing.T) {
	page := docs(t)["docs/connectors/gitlab.md"]
	_, recipe, _ := strings.Cut(page, "\n## GitLab CI\n")
	blocks, _ := yamlBlocks(recipe)
	if len(blocks) != 1 {
		t.Fatalf("the recipe has %d configurations", len(blocks))
	}
	p := connectortest.New(t)
	s := startWith(t, "issuer: http://dex.test/dex\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n"+
		strings.Replace(blocks[0], "https://gitlab.example.com", p.URL, 1))
	ask := url.Values{}
	for _, param := range curlData.FindAllStringSubmatch(recipe, -1) {
		ask.Set(param[1], param[2])
	}
	if ask.Get("subject_token") != "$DEX_SUBJECT_TOKEN" || ask.Get("scope") != "openid profile groups" {
		t.Fatalf("the job sends %v", ask)
	}
	// As GitLab makes them; nil takes out what Sign adds for people.
	job := connectortest.Object{
		"aud": "https://dex.example.com/dex", "sub": "project_path:acme/app:ref_type:branch:ref:main", "jti": "5c1f",
		"name": nil, "email": nil, "email_verified": nil, "nonce": nil,
		"namespace_id": "7", "namespace_path": "acme", "project_id": "11", "project_path": "acme/app", "project_visibility": "private",
		"user_id": "42", "user_login": "ada", "user_email": "ada@corp.example", "user_access_level": "developer", "user_identities": nil,
		"pipeline_id": "301", "pipeline_source": "push", "job_id": "902", "ref": "main", "ref_type": "branch",
		"ref_path": "refs/heads/main", "ref_protected": "true", "groups_direct": []string{"acme", "elsewhere"},
		"runner_id": 3, "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"ci_config_ref_uri": "gitlab.example.com/acme/app//.gitlab-ci.yml@refs/heads/main",
	}
	exchange := func(more connectortest.Object) answer {
		ask.Set("subject_token", p.Sign(connectortest.Merged(job, more)))
		return s.token(ask, noCredentials)
	}
	said := claims(t, exchange(nil).wantStatus(http.StatusOK).text("access_token"))
	if groups := texts(said["groups"]); !slices.Equal(groups, []string{"acme", "protected:true:acme/app"}) ||
		said["name"] != "acme/app" || said["preferred_username"] != "ada" || said["email"] != nil {
		t.Errorf("the application gets %v", said)
	}
	other := claims(t, exchange(connectortest.Object{
		"sub": "project_path:acme/app:ref_type:branch:ref:try", "ref": "try", "ref_path": "refs/heads/try", "ref_protected": "false",
	}).wantStatus(http.StatusOK).text("access_token"))
	if groups := texts(other["groups"]); !slices.Equal(groups, []string{"acme", "protected:false:acme/app"}) || other["sub"] == said["sub"] {
		t.Errorf("the application gets %v of a job on another branch", other)
	}
	exchange(connectortest.Object{"namespace_path": "acme/web", "project_path": "acme/web/app"}).wantStatus(http.StatusOK)
	for name, more := range map[string]connectortest.Object{
		"a stranger's": {"namespace_path": "stranger", "project_path": "stranger/acme"},
		"a stranger's, with the groups of a member": {"namespace_path": "stranger", "groups": []string{"acme"}},
		"a group below":         {"namespace_path": "acme/other", "project_path": "acme/other/app"},
		"of nobody":             {"namespace_path": nil},
		"for another audience":  {"aud": "https://vault.example.com"},
		"for GitLab, as before": {"aud": p.URL},
		"old":                   {"exp": 1700000000},
		"of another GitLab":     {"iss": "https://gitlab.test"},
		"a person's":            {"aud": "dex", "sub": "42", "namespace_path": nil, "groups": []string{"acme"}},
	} {
		if a := exchange(more); a.status < 400 || a.status >= 500 {
			t.Errorf("a token that is %s: %d %s", name, a.status, a.body)
		}
	}
	s.get(authPath("client_id", "ci-jobs", "redirect_uri", "http://127.0.0.1:1/")).wantRedirectError("unauthorized_client")
}
