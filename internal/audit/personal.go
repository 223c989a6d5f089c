package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// PersonalData is what records hold about people.
type PersonalData string

// What records hold about people.
const (
	Full   PersonalData = "full"
	Hashed PersonalData = "hashed" // equal values stay equal, so that trails can be followed
	None   PersonalData = "none"
)

// privacy removes personal data from records.
type privacy struct {
	mode PersonalData
	key  []byte
}

// impersonal are the kinds of targets whose ids say nothing about a person. A kind that is not here counts as personal.
var impersonal = map[string]bool{
	"client": true, "connector": true, "signing keys": true, "configuration": true, "admin token": true, "session": true, "login": true,
}

// apply replaces what is about people in a record.
func (p privacy) apply(r *Record) {
	if p.mode == Full || p.mode == "" {
		return
	}
	for _, text := range []*string{&r.TypedLogin, &r.Address, &r.UserAgent} {
		*text = p.value(*text)
	}
	if r.Actor != nil {
		r.Actor.Name = p.value(r.Actor.Name)
	}
	if r.Target != nil && !impersonal[r.Target.Kind] {
		r.Target.ID = p.value(r.Target.ID)
	}
	if u := r.User; u != nil {
		for _, text := range []*string{&u.ID, &u.Name, &u.PreferredUsername, &u.Email} {
			*text = p.value(*text)
		}
	}
	if c := r.Configuration; c != nil && c.Users != nil {
		c.Users = &Changes{Added: p.names(c.Users.Added), Changed: p.names(c.Users.Changed), Removed: p.names(c.Users.Removed)}
	}
}

// value returns what stands for a value: nothing, or its HMAC.
func (p privacy) value(text string) string {
	if text == "" || p.mode == None {
		return ""
	}
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(text))
	return "hmac:" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// names replaces the names in a list, in which keys that have changed follow a name in brackets.
func (p privacy) names(list []string) []string {
	var shown []string
	for _, item := range list {
		name, keys, ok := strings.Cut(item, " (")
		name = p.value(name)
		if name == "" {
			name = "user"
		}
		if ok {
			name += " (" + keys
		}
		shown = append(shown, name)
	}
	return shown
}
