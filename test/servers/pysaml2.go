package servers

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"time"
)

// A SAMLServiceProvider is one that the identity provider knows.
type SAMLServiceProvider struct {
	EntityID, ACS string
	SignResponse  bool   // in addition to the assertion, or instead of it
	SignAssertion bool   //
	Certificate   string // base64 of DER; if set, assertions are encrypted for it, and messages must be signed by it
	MetadataURL   string // of what it publishes itself; needed for logouts
	NoRelayState  bool   // it gets answers to its requests for a logout without their RelayState
}

// PySAML2 is a SAML identity provider on 127.0.0.1 with one user: jane, whose password is secret, and whose attributes are
// uid, mail (jane@example.org) and groups (staff, admins).
type PySAML2 struct {
	SSOURL      string // accepts requests by GET and POST
	EntityID    string
	MetadataURL string
	CAFile      string // its signing certificate

	FormMetadataURL string // the same metadata, with single logout by HTTP-POST alone
	SessionURL      string // says whether the browser has a session, and how the last one ended
	LogoutURL       string // where users sign out; the query may have binding=post, all (of the user's sessions), and unsigned
	AgainURL        string // sends the last request for a logout again

	account *account
	process *process
}

//go:embed pysaml2.py
var pysaml2Program []byte

// debianPython is the interpreter for Debian's Python packages; another one may come first in PATH.
const debianPython = "/usr/bin/python3"

// StartPySAML2 starts a provider for service providers.
func StartPySAML2(ctx context.Context, sps ...SAMLServiceProvider) (*PySAML2, error) {
	a, err := newAccount("www-data")
	if err != nil {
		return nil, err
	}
	s := &PySAML2{account: a}
	if err := s.init(ctx, sps); err != nil {
		return nil, errors.Join(fmt.Errorf("pysaml2: %w", err), s.Close())
	}
	return s, nil
}

func (s *PySAML2) init(ctx context.Context, sps []SAMLServiceProvider) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	base := "http://localhost:" + strconv.Itoa(port) + "/" // for browsers another site than 127.0.0.1
	s.SSOURL, s.EntityID, s.MetadataURL, s.FormMetadataURL = base+"sso", base+"idp", base+"metadata", base+"metadata-for-forms"
	s.SessionURL, s.LogoutURL, s.AgainURL = base+"session", base+"logout", base+"again"
	key, err := s.makeKey(ctx)
	if err != nil {
		return err
	}
	xmlsec, err := exec.LookPath("xmlsec1")
	if err != nil {
		return err
	}
	if _, err := s.account.write("attributes.py", []byte(samlAttributes)); err != nil {
		return err
	}
	settings, err := json.Marshal(map[string]any{
		"Port": port, "URL": base, "EntityID": s.EntityID, "Key": key, "Certificate": s.CAFile, "XMLSec": xmlsec,
		"Attributes": s.account.folder, "Providers": sps,
	})
	if err != nil {
		return err
	}
	settingsFile, err := s.account.write("settings.json", settings)
	if err != nil {
		return err
	}
	program, err := s.account.write("idp.program", pysaml2Program) // pysaml2 takes all .py files in the folder for attribute maps
	if err != nil {
		return err
	}
	s.process, err = s.account.start(ctx, command{
		program: debianPython, args: []string{program, settingsFile}, env: []string{"PYTHONDONTWRITEBYTECODE=1"}, ready: s.answers,
	})
	return err
}

// makeKey creates the provider's signing key and its certificate.
func (s *PySAML2) makeKey(ctx context.Context) (keyFile string, err error) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		return "", err
	}
	keyFile, s.CAFile = s.account.path("idp.pem"), s.account.path("idp.crt")
	err = s.account.run(ctx, openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", keyFile, "-out", s.CAFile,
		"-days", "2", "-subj", "/CN=idp")
	return keyFile, err
}

// samlAttributes maps the names of attributes to themselves.
const samlAttributes = `MAP = {
    "identifier": "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified",
    "fro": {"uid": "uid", "mail": "mail", "groups": "groups"},
    "to": {"uid": "uid", "mail": "mail", "groups": "groups"},
}
`

func (s *PySAML2) answers(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.MetadataURL, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("metadata: %s", resp.Status)
	}
	return nil
}

// Close stops the provider and removes its files.
func (s *PySAML2) Close() error {
	if s.process != nil {
		s.process.kill()
	}
	return s.account.remove()
}
