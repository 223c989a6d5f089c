package google_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector/connectortest"
	"dex/internal/connector/google"
)

func TestSettings(t *testing.T) {
	basic := object{"clientID": "dex", "clientSecret": "secret"}
	for name, c := range map[string]struct {
		settings object
		want     []string // the beginnings of what is told; ~ for a warning
	}{
		"nothing":             {nil, nil},
		"groups as a scope":   {object{"scopes": []string{"email", "groups"}}, []string{"scopes: must not have groups"}},
		"an empty domain":     {object{"hostedDomains": []string{""}}, []string{"hostedDomains[0]: must be a domain"}},
		"an address":          {object{"hostedDomains": []string{"a@b.example"}}, []string{"hostedDomains[0]: must be a domain"}},
		"groups without ways": {object{"groups": []string{"a@b.example"}}, []string{"groups: needs domainToAdminEmail"}},
		"groups without ways, by switch": {object{"groups": []string{"a@b.example"}, "insecureSkipGroupsWithoutScope": true},
			[]string{"groups: needs domainToAdminEmail", "~insecureSkipGroupsWithoutScope: lets everybody in"}},
		"an empty group":     {object{"groups": []string{""}, "groupsFrom": "directory"}, []string{"groups: has an empty address"}},
		"a key without ways": {object{"serviceAccountFilePath": "key.json"}, []string{"serviceAccountFilePath: needs domainToAdminEmail"}},
		"the account itself": {object{"serviceAccountFilePath": "key.json", "groupsFrom": "directory"}, nil},
		"another API":        {object{"groupsFrom": "ldap"}, []string{"groupsFrom: must be one of directory, cloudIdentity"}},
		"an administrator":   {object{"domainToAdminEmail": object{"b.example": "admin@b.example", "*": ""}}, nil},
		"no address":         {object{"domainToAdminEmail": object{"b.example": "admin"}}, []string{`domainToAdminEmail: has "admin" for b.example`}},
		"a key that's no domain": {object{"domainToAdminEmail": object{"@b.example": "admin@b.example"}},
			[]string{`domainToAdminEmail: has "@b.example"`}},
		"the old key":           {object{"adminEmail": "admin@b.example"}, []string{"~adminEmail: is deprecated"}},
		"transitive, of none":   {object{"fetchTransitiveGroupMembership": true}, []string{"~fetchTransitiveGroupMembership: has no effect"}},
		"a switch for nothing":  {object{"insecureSkipGroupsWithoutScope": true}, []string{"~insecureSkipGroupsWithoutScope: has no effect"}},
		"consent":               {object{"promptType": "select_account consent"}, nil},
		"no prompt":             {object{"promptType": ""}, []string{"~promptType: without consent"}},
		"an unknown prompt":     {object{"promptType": "login"}, []string{`~promptType: has "login"`, "~promptType: without consent"}},
		"a preferred name":      {object{"preferredUsername": "login"}, []string{"preferredUsername: must be one of email, localPart"}},
		"another issuer":        {object{"issuer": "https://gateway.example"}, []string{"~issuer: is not Google's"}},
		"an issuer that's none": {object{"issuer": "gateway"}, []string{"issuer: must be an http", "~issuer: is not Google's"}},
		"a bad address":         {object{"directoryURL": "gateway"}, []string{"directoryURL: must be an http"}},
		"any certificate":       {object{"insecureSkipVerify": true}, []string{"~insecureSkipVerify: lets anybody"}},
	} {
		var told []string
		for _, p := range connectortest.Decode(t, &google.Config{}, connectortest.Merged(basic, c.settings)) {
			text := strings.TrimPrefix(p.Key, "connector.") + ": " + p.Message
			if p.Warning {
				text = "~" + text
			}
			told = append(told, text)
		}
		slices.Sort(told)
		slices.Sort(c.want)
		if !slices.EqualFunc(told, c.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", name, told, c.want)
		}
	}
}

func TestCheckFiles(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(bad, []byte(`{"type": "service_account", "client_email": "a@b", "private_key": "none"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{bad: "private_key is no PEM", bad + "x": "no such file"} {
		c := &google.Config{ServiceAccountFilePath: path}
		if err := c.CheckFiles()["serviceAccountFilePath"]; err == nil || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
}
