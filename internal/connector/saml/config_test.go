package saml_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
	"dex/internal/connector/saml"
	"dex/internal/federation"
)

func TestKeys(t *testing.T) {
	idp := people().idp
	c, problems := settings(t, `
ssoURL: https://idp.test/sso
RedirectURI: https://dex.test/dex/callback
usernameattr: name
emailAttr: email
groupsAttr: groups
userIDAttr: id
preferredUsernameAttr: uid
emailVerified: false
groupsDelim: ","
allowedGroups: [staff]
filterGroups: true
entityIssuer: https://dex.test/me
ssoIssuer: https://idp.test/metadata
`+idp.caData()+`
metadataFile: m.xml
metadataSigningCert: m.pem
binding: redirect
signRequests: true
spCert: cert.pem
spKey: key.pem
previousSPKey: old.pem
forceAuthn: true
nameIDPolicyFormat: emailAddress
sloURL: https://idp.test/slo
strict: false
clockSkew: 2m
maxAge: 12h
endWithSession: true
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &saml.Config{
		SSOURL: "https://idp.test/sso", RedirectURI: callbackURL, UsernameAttr: "name", EmailAttr: "email", GroupsAttr: "groups",
		UserIDAttr: "id", PreferredUsernameAttr: "uid", GroupsDelim: ",", AllowedGroups: []string{"staff"}, FilterGroups: true,
		EntityIssuer: "https://dex.test/me", SSOIssuer: idpID, CAData: []byte(idp.pem()),
		MetadataFile: "m.xml", MetadataSigningCert: "m.pem", Binding: "redirect", SignRequests: true,
		SPCert: "cert.pem", SPKey: "key.pem", PreviousKey: "old.pem", ForceAuthn: true, NameIDPolicyFormat: "emailAddress",
		SLOURL: "https://idp.test/slo", ClockSkew: 2 * time.Minute, MaxAge: new(12 * time.Hour), EndWithSession: true,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	c, problems := settings(t, "{ssoURL: https://idp.test/sso, ca: idp.pem, usernameAttr: name, emailAttr: email}")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &saml.Config{
		SSOURL: "https://idp.test/sso", CA: "idp.pem", UsernameAttr: "name", EmailAttr: "email",
		EmailVerified: true, Strict: true, ClockSkew: 30 * time.Second,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// R1 has the values of a guide.
func TestGuide(t *testing.T) {
	t.Run("S0-11 entityIssuer, ssoURL, caData, redirectURI, usernameAttr, emailAttr", func(t *testing.T) {
		c, problems := settings(t, `
entityIssuer: https://dex.test/dex/callback
ssoURL: https://idp.test/sso
`+people().idp.caData()+`
redirectURI: https://dex.test/dex/callback
usernameAttr: username
emailAttr: email
`)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if c.EntityIssuer != callbackURL || len(c.CAData) == 0 {
			t.Errorf("settings %+v", c)
		}
	})
}

func TestAllThatIsMissingIsTold(t *testing.T) {
	for _, text := range []string{"", "{}", "ssoURL: ''"} {
		_, problems := settings(t, text)
		var keys []string
		for _, p := range problems {
			if !p.Warning {
				keys = append(keys, p.Key[strings.LastIndex(p.Key, ".")+1:])
			}
		}
		slices.Sort(keys)
		if want := []string{"ca", "emailAttr", "ssoURL", "usernameAttr"}; !slices.Equal(keys, want) {
			t.Errorf("%q: problems with %v, want %v\n%v", text, keys, want, problems)
		}
	}
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		edit    map[string]string // empty removes
		want    string
		warning bool
	}{
		"nothing wrong":             {},
		"ssoURL is no URL":          {edit: map[string]string{"ssoURL": "idp.test/sso"}, want: "ssoURL: must be an http or https URL"},
		"ssoURL with a script":      {edit: map[string]string{"ssoURL": "'javascript:alert(1)'"}, want: "must be an http or https URL"},
		"sloURL":                    {edit: map[string]string{"sloURL": "'ftp://x.test'"}, want: "sloURL: "},
		"redirectURI":               {edit: map[string]string{"redirectURI": "'https://x.test/#a'"}, want: "fragment"},
		"ca and caData":             {edit: map[string]string{"caData": base64PEM()}, want: "caData: and ca are both given"},
		"caData is no PEM":          {edit: map[string]string{"ca": "", "caData": "aGVsbG8="}, want: "there is no PEM block"},
		"skip and ca":               {edit: map[string]string{"insecureSkipSignatureValidation": "true"}, want: "has no effect", warning: true},
		"skip":                      {edit: map[string]string{"ca": "", "insecureSkipSignatureValidation": "true"}, want: "anybody", warning: true},
		"skip and both":             {edit: map[string]string{"caData": base64PEM(), "insecureSkipSignatureValidation": "true"}, want: "has no effect", warning: true},
		"format":                    {edit: map[string]string{"nameIDPolicyFormat": "EmailAddress"}, want: "must be one of WindowsDomainQualifiedName, X509SubjectName, emailAddress"},
		"format's URN":              {edit: map[string]string{"nameIDPolicyFormat": persistent}},
		"encrypted names":           {edit: map[string]string{"nameIDPolicyFormat": "encrypted"}, want: "needs spCert and spKey"},
		"transient names":           {edit: map[string]string{"nameIDPolicyFormat": "transient"}, want: "each login a new user", warning: true},
		"transient names and id":    {edit: map[string]string{"nameIDPolicyFormat": "transient", "userIDAttr": "uid"}},
		"both metadata":             {edit: map[string]string{"metadataURL": "https://x.test", "metadataFile": "m.xml"}, want: "metadataFile: and metadataURL are both given"},
		"metadata without TLS":      {edit: map[string]string{"metadataURL": "http://idp.test/m"}, want: "must begin with https://"},
		"signed metadata":           {edit: map[string]string{"metadataURL": "http://idp.test/m", "metadataSigningCert": "m.pem"}},
		"metadata at home":          {edit: map[string]string{"metadataURL": "http://127.0.0.1:8/m"}},
		"metadata alone":            {edit: map[string]string{"metadataURL": "https://idp.test/m", "ca": "", "ssoURL": ""}},
		"signer without metadata":   {edit: map[string]string{"metadataSigningCert": "m.pem"}, want: "metadataSigningCert: is of no use"},
		"rootCAs without metadata":  {edit: map[string]string{"rootCAs": "[a.pem]"}, want: "belongs in ca", warning: true},
		"binding":                   {edit: map[string]string{"binding": "artifact"}, want: "must be one of post, redirect, not"},
		"signing without key":       {edit: map[string]string{"signRequests": "true"}, want: "signRequests: needs spCert and spKey"},
		"key without certificate":   {edit: map[string]string{"spKey": "a.pem"}, want: "belong together"},
		"previous without key":      {edit: map[string]string{"previousSPKey": "a.pem"}, want: "previousSPKey: "},
		"allowed without attribute": {edit: map[string]string{"allowedGroups": "[a]"}, want: "needs groupsAttr"},
		"allowed is empty":          {edit: map[string]string{"groupsAttr": "g", "allowedGroups": "['']"}, want: "allowedGroups[0]: is empty"},
		"delimiter":                 {edit: map[string]string{"groupsDelim": ";"}, want: "has no effect", warning: true},
		"filter":                    {edit: map[string]string{"filterGroups": "true"}, want: "has no effect", warning: true},
		"skew":                      {edit: map[string]string{"clockSkew": "6m"}, want: "at most 5m"},
		"no skew":                   {edit: map[string]string{"clockSkew": "0s"}, want: "above 0"},
		"age":                       {edit: map[string]string{"maxAge": "-1h"}, want: "maxAge: must not be negative"},
		"SHA-1":                     {edit: map[string]string{"allowSHA1": "true"}, want: "can be forged", warning: true},
		"issuer with blanks":        {edit: map[string]string{"ssoIssuer": "' x'"}, want: "white space"},
		"unknown key":               {edit: map[string]string{"ssoUrI": "x"}, want: "ssoUrI", warning: true},
		"bad base64 is told once":   {edit: map[string]string{"ca": "", "caData": "'%%%'"}, want: "caData: "},
		"a wrong type is told once": {edit: map[string]string{"usernameAttr": "[a]"}, want: "usernameAttr: must be"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := map[string]string{"ssoURL": "https://idp.test/sso", "ca": "idp.pem", "usernameAttr": "name", "emailAttr": "email"}
			maps.Copy(keys, c.edit)
			var text strings.Builder
			for key, value := range keys {
				if value != "" {
					text.WriteString(key + ": " + value + "\n")
				}
			}
			_, problems := settings(t, text.String())
			if c.want == "" && len(problems) > 0 || c.want != "" && len(problems) == 0 {
				t.Fatalf("problems %v, want %q", problems, c.want)
			}
			if c.want == "" {
				return
			}
			if problems.HasErrors() == c.warning {
				t.Errorf("errors: %t, want %t: %v", c.warning, !c.warning, problems)
			}
			if !slices.ContainsFunc(problems, func(p config.Problem) bool {
				return strings.Contains(p.String(), c.want) && p.Warning == c.warning && p.Line > 0
			}) {
				t.Errorf("problems %v, want %q with its line", problems, c.want)
			}
			if strings.HasSuffix(name, "told once") && len(problems) != 1 {
				t.Errorf("%d problems: %v", len(problems), problems)
			}
		})
	}
}

func base64PEM() string { return base64.StdEncoding.EncodeToString([]byte(people().idp.pem())) }

// Upstream's rules for PEM.
func TestCertificateFiles(t *testing.T) {
	p := people()
	otherType := string(pem.EncodeToMemory(&pem.Block{Type: "TRUSTED THING", Bytes: p.idp.certificate.Raw}))
	for name, c := range map[string]struct{ content, want string }{
		"one":             {p.idp.pem(), ""},
		"white space":     {p.idp.pem() + "\n \n", ""},
		"text before":     {"subject=/CN=idp\n" + p.idp.pem(), ""},
		"two":             {p.idp.pem() + p.next.pem(), ""},
		"any type":        {otherType, ""},
		"text behind":     {p.idp.pem() + "more", "follows after 1 certificate"},
		"no certificate":  {p.idp.keyPEM(t), "block 1 (PRIVATE KEY) is not a certificate"},
		"second is bad":   {p.idp.pem() + p.idp.keyPEM(t), "block 2"},
		"no PEM":          {"hello", "no PEM block"},
		"nothing":         {"", "no PEM block"},
		"longer than all": {strings.Repeat("x", 1<<20+1), "is longer than"},
	} {
		_, err := tryOpen(t, usual+"ca: "+file(t, c.content), io.Discard)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestFilesThatCanNotBeUsed(t *testing.T) {
	p := people()
	ca := p.idp.caData()
	shortKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short := hold(shortKey, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	for name, c := range map[string]struct{ settings, want string }{
		"no ca":                 {"ca: /does/not/exist", "/does/not/exist"},
		"no key":                {ca + "spCert: /none.crt\nspKey: /none.key", "/none.crt"},
		"another key":           {ca + "spCert: " + file(t, p.dex.pem()) + "\nspKey: " + file(t, p.idp.keyPEM(t)), "spCert and spKey"},
		"short key":             {ca + short.spKeys(t), "less than 2048 bits"},
		"previous key is ECDSA": {ca + p.dex.spKeys(t) + "previousSPKey: " + file(t, p.curve.keyPEM(t)), "not RSA"},
		"previous key is none":  {ca + p.dex.spKeys(t) + "previousSPKey: " + file(t, p.dex.pem()), "no RSA key"},
		"signer of metadata":    {"metadataFile: m.xml\nmetadataSigningCert: /none.pem", "metadataSigningCert"},
		"authorities":           {"metadataURL: https://idp.test/m\nrootCAs: [hello]", "metadataURL"},
	} {
		if _, err := tryOpen(t, usual+c.settings, io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestOtherCallbackIsToldOf(t *testing.T) {
	for uri, told := range map[string]bool{
		callbackURL: false, callbackURL + "/idp": false, "https://proxy.test/callback": true, "": false,
	} {
		text := strings.Replace(usual, "redirectURI: "+callbackURL, "redirectURI: '"+uri+"'", 1) + people().idp.caData()
		var log strings.Builder
		if _, err := tryOpen(t, text, &log); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "redirectURI is not") != told {
			t.Errorf("%q: the log says %q", uri, log.String())
		}
	}
}

func TestDocumentedConfiguration(t *testing.T) {
	page, err := os.ReadFile("../../../docs/connectors/saml.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("there is no configuration on the page")
	}
	for i, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		loaded, problems := config.Source{Name: "saml.md", Data: []byte(
			"issuer: http://dex.test\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n" + text,
		)}.Load()
		if problems.HasErrors() {
			t.Fatalf("block %d: %v", i, problems)
		}
		if definitions, problems := federation.Read(loaded); len(definitions) == 0 || len(problems) > 0 {
			t.Errorf("block %d: %v", i, problems)
		}
	}
}

func TestOlderName(t *testing.T) {
	kind, ok := federation.NewConfig("samlExperimental")
	if _, isSAML := kind.(*saml.Config); !ok || !isSAML {
		t.Errorf("samlExperimental is %T", kind)
	}
}
