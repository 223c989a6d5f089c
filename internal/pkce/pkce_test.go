package pkce

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"dex/internal/oauth"
)

var (
	verifier = strings.Repeat("v", 43)
	hashed   = func() string {
		sum := sha256.Sum256([]byte(verifier))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}()
)

// TestRead holds each rule to the challenges that it takes and refuses.
func TestRead(t *testing.T) {
	both := []string{oauth.ChallengeS256, oauth.ChallengePlain}
	for name, c := range map[string]struct {
		rules         Rules
		public        bool
		value, method string
		want          Challenge
		says          string // part of the error; empty if there must be none
	}{
		"none":                       {Rules{Methods: both}, true, "", "", Challenge{}, ""},
		"none, enforced":             {Rules{Methods: both, Enforce: true}, false, "", "", Challenge{}, "required"},
		"none, public":               {Rules{Methods: both, EnforcePublic: true}, true, "", "", Challenge{}, "required"},
		"none, public only":          {Rules{Methods: both, EnforcePublic: true}, false, "", "", Challenge{}, ""},
		"method alone":               {Rules{Methods: both}, false, "", "S256", Challenge{}, "without"},
		"method alone, any form":     {Rules{Methods: both, AnyForm: true}, false, "", "S256", Challenge{}, ""},
		"hashed":                     {Rules{Methods: both}, false, hashed, "S256", Challenge{Value: hashed, Method: "S256"}, ""},
		"plain":                      {Rules{Methods: both}, false, verifier, "plain", Challenge{Value: verifier, Method: "plain"}, ""},
		"plain without a method":     {Rules{Methods: both}, false, verifier, "", Challenge{Value: verifier, Method: "plain"}, ""},
		"plain, not allowed":         {Rules{Methods: both[:1]}, false, verifier, "", Challenge{}, "one of: S256."},
		"unknown method":             {Rules{Methods: both, AnyForm: true}, false, verifier, "S512", Challenge{}, "one of"},
		"hashed, too short":          {Rules{Methods: both}, false, hashed[1:], "S256", Challenge{}, "malformed"},
		"plain, too short":           {Rules{Methods: both}, false, verifier[1:], "plain", Challenge{}, "malformed"},
		"any form":                   {Rules{Methods: both, AnyForm: true}, false, "?", "S256", Challenge{"?", "S256", true}, ""},
		"any form, longer than most": {Rules{Methods: both, AnyForm: true}, false, strings.Repeat("x", 1025), "", Challenge{}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.rules.Read(url.Values{"code_challenge": {c.value}, "code_challenge_method": {c.method}}, c.public)
			if got != c.want || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %+v and %v, want %+v and %q", got, err, c.want, c.says)
			}
		})
	}
}

// TestCheck holds a verifier to the challenge that was made from it.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		challenge Challenge
		verifier  string
		ok        bool
	}{
		"neither":                 {Challenge{}, "", true},
		"verifier alone":          {Challenge{}, verifier, false},
		"challenge alone":         {Challenge{Value: hashed, Method: "S256"}, "", false},
		"hashed":                  {Challenge{Value: hashed, Method: "S256"}, verifier, true},
		"hashed, shown again":     {Challenge{Value: hashed, Method: "S256"}, hashed, false},
		"plain":                   {Challenge{Value: verifier, Method: "plain"}, verifier, true},
		"plain, another":          {Challenge{Value: verifier, Method: "plain"}, verifier + "v", false},
		"short":                   {Challenge{Value: "short", Method: "plain"}, "short", false},
		"short, where any may be": {Challenge{Value: "short", Method: "plain", AnyForm: true}, "short", true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.challenge.Check(c.verifier); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
