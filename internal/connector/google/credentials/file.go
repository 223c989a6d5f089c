package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"

	"dex/internal/outbound"
)

// maxFile bounds a file of credentials, in bytes.
const maxFile = 1 << 20

// A file is credentials as Google's tools write them. Which members it has depends on its type.
type file struct {
	Type         string `json:"type"`
	QuotaProject string `json:"quota_project_id"`

	// service_account
	ClientEmail  string `json:"client_email"`
	PrivateKey   string `json:"private_key"`
	PrivateKeyID string `json:"private_key_id"`
	TokenURI     string `json:"token_uri"`

	// authorized_user
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`

	// external_account
	Audience         string `json:"audience"`
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	UserProject      string `json:"workforce_pool_user_project"`
	Source           source `json:"credential_source"`
	Impersonation    struct {
		Seconds int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation"`

	// external_account and impersonated_service_account
	ImpersonationURL string   `json:"service_account_impersonation_url"`
	Delegates        []string `json:"delegates"`
	Base             *file    `json:"source_credentials"`
}

// Check returns what is wrong with a file of credentials.
func Check(path string) error {
	_, err := Read(path, Env{})
	return err
}

// Read reads a file of credentials, with its private key. Nothing is asked for yet.
func Read(path string, env Env) (*Credentials, error) {
	text, err := readBounded(path, maxFile)
	if err != nil {
		return nil, err
	}
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s is no file of credentials: %w", path, err)
	}
	c := &Credentials{From: path, env: env}
	if c.origin, err = f.origin(&c.env, true); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.QuotaProject != "" {
		c.Header = http.Header{"X-Goog-User-Project": {f.QuotaProject}}
	}
	return c, nil
}

// origin returns the identity that a file describes. An identity that acts for another needs one of its own.
func (f *file) origin(env *Env, mayAct bool) (origin, error) {
	switch f.Type {
	case "service_account":
		return newKey(env, f)
	case "authorized_user":
		return newUser(env, f)
	case "external_account":
		e, err := newExternal(env, f)
		if err != nil || f.ImpersonationURL == "" {
			return e, err
		}
		return newAccount(env, e, f.ImpersonationURL, nil, f.Impersonation.Seconds)
	case "impersonated_service_account":
		if f.Base == nil || !mayAct {
			return nil, errors.New("source_credentials are missing, or act for a service account themselves")
		}
		base, err := f.Base.origin(env, false)
		if err != nil {
			return nil, fmt.Errorf("source_credentials: %w", err)
		}
		return newAccount(env, base, f.ImpersonationURL, f.Delegates, 0)
	}
	return nil, fmt.Errorf("its type is %q, and must be service_account, external_account, impersonated_service_account or "+
		"authorized_user", f.Type)
}

// Find returns the credentials of this machine, as Google's tools do (Application Default Credentials): those of the file that
// GOOGLE_APPLICATION_CREDENTIALS names, those of gcloud's user, or those of Google's cloud.
func Find(env Env) (*Credentials, error) {
	if path := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); path != "" {
		c, err := Read(path, env)
		if err != nil {
			return nil, fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %w", err)
		}
		return c, nil
	}
	if path := gcloudFile(); path != "" {
		if _, err := os.Stat(path); err == nil {
			return Read(path, env)
		}
	}
	c := &Credentials{From: "this machine", env: env}
	c.origin = newMetadata(&c.env)
	return c, nil
}

// gcloudFile returns where gcloud keeps the credentials of its user; empty if there is no such place.
func gcloudFile() string {
	const name = "application_default_credentials.json"
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" {
		return filepath.Join(dir, name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config", "gcloud", name)
}

// checkURL refuses an address that secrets could be read on the way to.
func checkURL(name, address string) error {
	u, err := url.Parse(address)
	if err == nil && outbound.IsURL(address) && (u.Scheme == "https" || isLoopback(u)) {
		return nil
	}
	return fmt.Errorf("%s must be an https URL", name)
}

// checkTokenURI is checkURL for the token endpoint, which files need not name.
func (f *file) checkTokenURI() error {
	if f.TokenURI == "" {
		return nil
	}
	return checkURL("token_uri", f.TokenURI)
}

func isLoopback(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// isNear reports whether an address is at this machine, or at what its cloud tells it about itself, such as Azure's metadata
// service, which has no TLS.
func isNear(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return isLoopback(u) || err == nil && ip.IsLinkLocalUnicast()
}
