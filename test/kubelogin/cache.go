package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tokens are what is kept between two commands of kubectl.
type tokens struct {
	IDToken      string `json:"id_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// expiry returns when the ID token ends.
func (t tokens) expiry() (time.Time, error) {
	parts := strings.Split(t.IDToken, ".")
	if len(parts) != 3 {
		return time.Time{}, fmt.Errorf("token contains an invalid number of segments")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, err
	}
	var claims struct {
		Expiry int64 `json:"exp"`
	}
	err = json.Unmarshal(payload, &claims)
	return time.Unix(claims.Expiry, 0), err
}

func (t tokens) valid(now time.Time) bool {
	expiry, err := t.expiry()
	return err == nil && now.Before(expiry)
}

// A cache is the file for one provider, client and set of scopes.
type cache struct{ path string }

func (o *options) cache() cache {
	key, err := json.Marshal([]any{o.issuer, o.clientID, o.clientSecret, o.scopes, o.authorities, o.authorityData, o.username})
	if err != nil {
		panic(err) // texts can be encoded
	}
	sum := sha256.Sum256(key)
	return cache{filepath.Join(o.cacheDir, hex.EncodeToString(sum[:]))}
}

// read returns what is there; a file that can't be read is like none.
func (c cache) read() (t tokens) {
	text, err := os.ReadFile(c.path)
	if err != nil || json.Unmarshal(text, &t) != nil {
		return tokens{}
	}
	return t
}

func (c cache) write(t tokens) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(c.path, text, 0o600) //nolint:gosec // G703: the folder is whoever calls it names
}

// output tells kubectl the token, in the version that it asks for.
func output(t tokens) error {
	expiry, err := t.expiry()
	if err != nil {
		return err
	}
	said := struct {
		Version string         `json:"apiVersion"`
		Kind    string         `json:"kind"`
		Spec    map[string]any `json:"spec"`
		Status  map[string]any `json:"status"`
	}{
		Version: "client.authentication.k8s.io/v1beta1", Kind: "ExecCredential", Spec: map[string]any{"interactive": false},
		Status: map[string]any{"expirationTimestamp": expiry.UTC().Format(time.RFC3339), "token": t.IDToken},
	}
	var asked struct {
		Version string `json:"apiVersion"`
	}
	if info := os.Getenv("KUBERNETES_EXEC_INFO"); info != "" && json.Unmarshal([]byte(info), &asked) == nil && asked.Version != "" {
		said.Version = asked.Version
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}
