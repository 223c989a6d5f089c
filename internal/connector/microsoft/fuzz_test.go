package microsoft_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector/connectortest"
	"dex/internal/connector/microsoft"
)

// FuzzAnswers gives the connector any answers.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"id": "a", "userPrincipalName": "a@corp.example"}`), []byte(`{"value": ["`+id(1)+`"]}`),
		[]byte(`{"value": [{"id": "`+id(1)+`", "displayName": "admin"}]}`), []byte(`{"value": [{"id": "`+id(1)+`", "displayName": "admin"}]}`))
	f.Add([]byte(`{"id": null}`), []byte(`{"value": [null], "@odata.nextLink": "https://evil.test"}`), []byte(`{"value": [null]}`), []byte(`{"value": null}`))
	f.Add([]byte(`{"id": "a"}`), []byte(`{"value": ["x"]}`), []byte(`{"value": [{"id": "x", "displayName": "`+id(1)+`"}]}`), []byte(`[]`))
	m := connectortest.NewMicrosoft(f, domain)
	byName := connectortest.Open(f, &microsoft.Config{}, settings(m, object{"groups": []string{"admin"}, "useGroupsAsWhitelist": true}), nil)
	byID := connectortest.Open(f, &microsoft.Config{}, settings(m, object{
		"groups": []string{id(1)}, "useGroupsAsWhitelist": true, "groupNameFormat": "id", "allowedDomains": []string{domain},
	}), nil)
	f.Fuzz(func(t *testing.T, user, ids, named, found []byte) {
		for path, answer := range map[string][]byte{
			"/v1.0/me": user, "/v1.0/me/getMemberGroups": ids, "/v1.0/directoryObjects/getByIds": named, "/v1.0/groups": found,
		} {
			m.Answer(path, connectortest.Always(http.StatusOK, string(answer)))
		}
		for want, conn := range map[string]connectortest.Connector{"admin": byName, id(1): byID} {
			got, err := m.SignIn(t, conn, groups)
			if err == nil && (got.UserID == "" || !slices.Equal(got.Groups, []string{want})) {
				t.Errorf("%s %s %s %s: %+v", user, ids, named, found, got)
			}
			if err == nil && want == id(1) && !strings.HasSuffix(strings.ToLower(got.Email), "@"+domain) {
				t.Errorf("%s: %+v", user, got)
			}
		}
		microsoft.Forget(byName)
		m.Calls() // forgets them
	})
}
