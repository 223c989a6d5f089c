package github_test

import (
	"log/slog"
	"strings"
	"testing"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/github"
)

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		settings object
		want     []string // each begins with ~ for a warning
	}{
		"nothing":            {object{"clientID": nil, "clientSecret": nil}, []string{"clientID: is missing", "~clientSecret: is missing"}},
		"good":               {with(orgs("acme:dev"), object{"hostName": "ghe.corp.example:8443", "preferredEmailDomain": "*.corp.io"}), nil},
		"odd spellings":      {object{"CLIENTID": "x", "clientID": nil, "teamnamefield": "both", "LOADALLGROUPS": true}, nil},
		"a URL":              {object{"hostName": "https://ghe.corp.example"}, []string{"hostName: must be a host"}},
		"a path":             {object{"hostName": "ghe.corp.example/"}, []string{"hostName: must be a host"}},
		"a user":             {object{"hostName": "a@ghe.corp.example"}, []string{"hostName: must be a host"}},
		"a port alone":       {object{"hostName": ":443"}, []string{"hostName: must be a host"}},
		"github.com":         {object{"hostName": "GitHub.com"}, []string{"hostName: is for GitHub Enterprise"}},
		"rootCA":             {object{"rootCA": "/ca.pem"}, []string{"rootCA: needs hostName"}},
		"both forms":         {with(orgs("a"), object{"org": "b"}), []string{"org: can't be set beside orgs"}},
		"the old form":       {object{"org": "b"}, []string{"~org: is the old form of orgs"}},
		"all beside some":    {with(orgs("a"), object{"loadAllGroups": true}), []string{"~loadAllGroups: has no effect"}},
		"no name":            {object{"orgs": []object{{"teams": []string{"x"}}}}, []string{"orgs[0].name: is missing"}},
		"a name twice":       {orgs("a", "A:x"), []string{"~orgs[1].name: is also that of orgs[0]"}},
		"teamNameField":      {object{"teamNameField": "Slug"}, []string{`teamNameField: must be one of name, slug, both, not "Slug"`}},
		"a star at the end":  {object{"preferredEmailDomain": "corp.*"}, []string{"preferredEmailDomain: must not end with *"}},
		"a star in a label":  {object{"preferredEmailDomain": "*corp.io"}, []string{"~preferredEmailDomain: matches no address"}},
		"an address":         {object{"preferredEmailDomain": "a@corp.io"}, []string{"~preferredEmailDomain: matches no address"}},
		"useLoginAsID":       {object{"useLoginAsID": true}, []string{"~useLoginAsID: lets whoever takes a name"}},
		"insecureSkipVerify": {object{"insecureSkipVerify": true}, []string{"~insecureSkipVerify: lets anybody on the way"}},
		"nestedTeams":        {object{"nestedTeams": true}, []string{"~nestedTeams: has no effect"}},
		"orgNameAsGroup":     {object{"orgNameAsGroup": true, "loadAllGroups": true}, []string{"~orgNameAsGroup: has no effect"}},
		"no org":             {object{"insecureIgnoreOrgMembership": true}, []string{"~insecureIgnoreOrgMembership: has no effect"}},
		"an open org":        {object{"org": "a", "insecureIgnoreOrgMembership": true}, []string{"~insecureIgnoreOrgMembership: lets in everybody", "~org: "}},
		"a list":             {object{"hostName": []string{"x"}}, []string{"hostName: must be text"}},
	} {
		t.Run(name, func(t *testing.T) {
			all := with(object{"clientID": "dex", "clientSecret": "secret"}, c.settings)
			found := connectortest.Decode(t, &github.Config{}, all)
			for _, want := range c.want {
				if !has(found, want) {
					t.Errorf("no %q in %v", want, found)
				}
			}
			if len(found) != len(c.want) {
				t.Errorf("%d problems, want %d: %v", len(found), len(c.want), found)
			}
		})
	}
}

func has(found config.Problems, want string) bool {
	want, warning := strings.CutPrefix(want, "~")
	for _, p := range found {
		if p.Warning == warning && strings.HasPrefix(p.Key+": "+p.Message, want) {
			return true
		}
	}
	return false
}

func TestCheckFiles(t *testing.T) {
	g := connectortest.NewGitHub(t, true)
	for _, c := range []struct {
		config github.Config
		want   string
	}{
		{github.Config{RootCA: g.CA(), RootCAs: []string{g.CA()}}, ""},
		{github.Config{RootCA: "no such file"}, "rootCA"},
		{github.Config{RootCAs: []string{g.CA(), "no such file"}}, "rootCAs[1]"},
	} {
		found := c.config.CheckFiles()
		if len(found) > 1 || (c.want == "") != (len(found) == 0) || c.want != "" && found[c.want] == nil {
			t.Errorf("%v, want %s", found, c.want)
		}
		if _, err := c.config.Open(t.Context(), connector.Env{Log: slog.New(slog.DiscardHandler)}); (err == nil) != (c.want == "") {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}
