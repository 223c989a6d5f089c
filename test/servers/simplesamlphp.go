package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A SAMLServiceProvider is whom a provider answers.
type SAMLServiceProvider struct {
	EntityID, ACS string
	SignResponse  bool   // besides the assertion, or instead of it
	SignAssertion bool   //
	Certificate   string // base64 of DER; assertions are encrypted for it where it is set, and requests must be signed by it
}

// SimpleSAMLphp is a SAML identity provider on 127.0.0.1 with one user: jane, whose password is secret, and whose
// attributes are uid, mail (jane@example.org) and groups (staff, admins).
type SimpleSAMLphp struct {
	URL         string // with the slash at its end
	EntityID    string
	MetadataURL string
	CAFile      string // the certificate that it signs with

	account *account
	process *process
}

// StartSimpleSAMLphp starts a provider for service providers.
func StartSimpleSAMLphp(ctx context.Context, sps ...SAMLServiceProvider) (*SimpleSAMLphp, error) {
	a, err := newAccount("www-data")
	if err != nil {
		return nil, err
	}
	s := &SimpleSAMLphp{account: a}
	if err := s.init(ctx, sps); err != nil {
		return nil, errors.Join(fmt.Errorf("SimpleSAMLphp: %w", err), s.Close())
	}
	return s, nil
}

func (s *SimpleSAMLphp) init(ctx context.Context, sps []SAMLServiceProvider) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.URL = "http://localhost:" + strconv.Itoa(port) + "/" // for browsers another site than 127.0.0.1
	s.EntityID, s.MetadataURL = s.URL+"idp", s.URL+"saml2/idp/metadata.php"
	if err := s.configure(ctx, sps); err != nil {
		return err
	}
	program, err := exec.LookPath("php")
	if err != nil {
		return err
	}
	s.process, err = s.account.start(ctx, command{
		program: program, args: []string{"-S", address, "-t", "/usr/share/simplesamlphp/www"},
		env:   []string{"SIMPLESAMLPHP_CONFIG_DIR=" + s.account.path("config"), "PHP_CLI_SERVER_WORKERS=4"},
		ready: s.answers,
	})
	return err
}

// configure writes the settings, the keys and the metadata of the service providers.
func (s *SimpleSAMLphp) configure(ctx context.Context, sps []SAMLServiceProvider) error {
	for _, name := range []string{"config", "metadata", "cert", "log", "data", "tmp"} {
		if err := os.Mkdir(s.account.path(name), 0o700); err != nil {
			return err
		}
		if err := s.account.own(s.account.path(name)); err != nil {
			return err
		}
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		return err
	}
	s.CAFile = s.account.path("cert/idp.crt")
	err = s.account.run(ctx, openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", s.account.path("cert/idp.pem"),
		"-out", s.CAFile, "-days", "2", "-subj", "/CN=idp")
	if err != nil {
		return err
	}
	files := map[string]string{
		"config/config.php":              strings.ReplaceAll(samlConfig, "URL", s.URL),
		"config/authsources.php":         samlUsers,
		"metadata/saml20-idp-hosted.php": strings.ReplaceAll(samlHosted, "ENTITY", s.EntityID),
		"metadata/saml20-sp-remote.php":  remoteProviders(sps),
	}
	for name, content := range files {
		if _, err := s.account.write(name, []byte(content)); err != nil {
			return err
		}
	}
	return nil
}

const (
	samlConfig = `<?php
$dir = dirname(__DIR__);
$config = [
  'baseurlpath' => 'URL',
  'certdir' => "$dir/cert/", 'loggingdir' => "$dir/log/", 'datadir' => "$dir/data/", 'tempdir' => "$dir/tmp",
  'secretsalt' => 'a salt for tests', 'auth.adminpassword' => 'unused', 'timezone' => 'UTC',
  'technicalcontact_email' => 'na@example.org',
  'logging.handler' => 'file', 'logging.logfile' => 'simplesamlphp.log', 'showerrors' => true,
  'enable.saml20-idp' => true,
  'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
  'session.cookie.name' => 'SSP', 'session.cookie.secure' => false, 'session.phpsession.cookiename' => 'SSPPHP',
  'session.phpsession.savepath' => "$dir/data", 'session.phpsession.httponly' => true, 'store.type' => 'phpsession',
  'metadata.sources' => [['type' => 'flatfile', 'directory' => "$dir/metadata"]],
  'language.available' => ['en'], 'language.default' => 'en', 'language.rtl' => [],
];
`
	samlUsers = `<?php
$config = ['users' => ['exampleauth:UserPass', 'jane:secret' => [
  'uid' => ['jane'], 'mail' => ['jane@example.org'], 'groups' => ['staff', 'admins'],
]]];
`
	samlHosted = `<?php
$metadata['ENTITY'] = [
  'host' => '__DEFAULT__', 'privatekey' => 'idp.pem', 'certificate' => 'idp.crt', 'auth' => 'users',
  'SingleSignOnServiceBinding' => [
    'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST',
  ],
  'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
  'authproc' => [3 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid',
    'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent']],
];
`
)

func remoteProviders(sps []SAMLServiceProvider) string {
	text := "<?php\n"
	for _, sp := range sps {
		text += fmt.Sprintf("$metadata['%s'] = ['AssertionConsumerService' => '%s', "+
			"'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', "+
			"'saml20.sign.response' => %t, 'saml20.sign.assertion' => %t",
			sp.EntityID, sp.ACS, sp.SignResponse, sp.SignAssertion)
		if sp.Certificate != "" {
			text += fmt.Sprintf(", 'certData' => '%s', 'assertion.encryption' => true, 'validate.authnrequest' => true", sp.Certificate)
		}
		text += "];\n"
	}
	return text
}

func (s *SimpleSAMLphp) answers(ctx context.Context) error {
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

// Close ends the provider and removes its files.
func (s *SimpleSAMLphp) Close() error {
	if s.process != nil {
		s.process.kill()
	}
	return s.account.remove()
}
