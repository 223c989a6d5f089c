package ui_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"dex/internal/ui"
)

// contract is what templates made for upstream may use, by page: fields, and what kinds they have.
var contract = map[string]map[string]string{
	"login.html":    {"Connectors": "slice"},
	"password.html": {"PostURL": "string", "BackLink": "string", "Username": "string", "UsernamePrompt": "string", "Invalid": "bool", "ShowRememberMe": "bool", "RememberMeChecked": "bool"},
	"approval.html": {"User": "string", "Client": "string", "AuthReqID": "string", "Scopes": "slice"},
	"oob.html":      {"Code": "string"},
	"error.html":    {"ErrType": "string", "ErrMsg": "string"},
	"device.html":   {"PostURL": "string", "UserCode": "string", "Invalid": "bool"},
	"home.html": {
		"LoggedIn": "bool", "Username": "string", "Email": "string", "EmailVerified": "bool", "Groups": "slice", "ConnectorName": "string",
		"SignedInISO": "string", "SignedInText": "string", "SessionExpiresISO": "string", "SessionExpiresText": "string",
		"SessionExpiryIsIdle": "bool", "IPAddress": "string", "UserAgent": "string", "LogoutURL": "string", "DiscoveryURL": "string",
	},
	"device_success.html":  {"ClientName": "string"},
	"totp_verify.html":     {"PostURL": "string", "Invalid": "bool", "Issuer": "string", "Connector": "string", "QRCode": "string"},
	"webauthn_verify.html": {"Mode": "string", "AuthenticatorID": "string"},
	"logout.html":          {"BackURL": "string", "LoggedOut": "bool", "ShowConfirmation": "bool"},
}

// contractOfConnectors is the same for each connector on login.html.
var contractOfConnectors = map[string]string{"ID": "string", "Name": "string", "URL": "string", "Type": "string"}

// Every field of every page is there in all of its states, with the kind that templates count on, and is known by its name in the
// header and in the footer.
func TestEveryFieldOfEveryPage(t *testing.T) {
	files := map[string]string{
		"templates/header.html": `{{ kindOf .ReqPath }} {{ kindOf issuer }} {{ kindOf logo }} {{ kindOf (url .ReqPath "static/x") }} {{ kindOf ("a" | extra) }}` + "\n",
		"templates/footer.html": "the end",
	}
	for template, fields := range contract {
		var b strings.Builder
		b.WriteString(`{{ template "header.html" . }}`)
		for name := range fields {
			fmt.Fprintf(&b, "%s={{ kindOf .%s }} {{ .%s }}\n", name, name, name)
		}
		if template == "login.html" {
			b.WriteString("{{ range $c := .Connectors }}")
			for name := range contractOfConnectors {
				fmt.Fprintf(&b, "%s={{ kindOf $c.%s }} {{ $c.%s }}\n", name, name, name)
			}
			b.WriteString("{{ end }}")
		}
		b.WriteString(`{{ template "footer.html" . }}`)
		files["templates/"+template] = b.String()
	}
	u, _ := newUI(t, ui.Config{Dir: webDir(t, files), IssuerPath: "/dex"})

	samples := u.Samples()
	for template, fields := range contract {
		shown := slices.DeleteFunc(slices.Clone(samples), func(s ui.Sample) bool { return s.Template != template })
		if len(shown) == 0 {
			t.Errorf("there is no page %s", template)
		}
		for _, s := range shown {
			page, err := u.RenderSample(httptest.NewRequest(http.MethodGet, "/dex/auth", nil), template, s.Name)
			if err != nil {
				t.Errorf("%s, %s: %v", template, s.Name, err)
			}
			text := string(page)
			if !strings.HasPrefix(text, "string string string string string\n") || !strings.HasSuffix(text, "the end") {
				t.Errorf("%s, %s: header and footer are %s", template, s.Name, text)
			}
			for name, kind := range fields {
				if !strings.Contains(text, "\n"+name+"="+kind+" ") {
					t.Errorf("%s, %s: %s is not a %s in\n%s", template, s.Name, name, kind, text)
				}
			}
			for name, kind := range contractOfConnectors {
				if template == "login.html" && !strings.Contains(text, "\n"+name+"="+kind+" ") {
					t.Errorf("%s: %s of a connector is not a %s in\n%s", s.Name, name, kind, text)
				}
			}
		}
	}
}
