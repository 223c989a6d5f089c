// Package relyingparty is what clients of OAuth 2.0 and OpenID Connect providers share: the code flow, tokens and the keys that
// sign them, calls to APIs, claims.
package relyingparty

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claims are what a provider says of a user. Numbers are json.Number.
type Claims map[string]any

// ReadClaims reads a JSON object.
func ReadClaims(data []byte) (Claims, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var c Claims
	if err := decoder.Decode(&c); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if c == nil {
		return nil, errors.New("claims: no JSON object")
	}
	return c, nil
}

// ReadEncoded reads a JSON object in base64url, as the parts of a JWT are (RFC 7515, section 2).
func ReadEncoded(part string) (Claims, error) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return ReadClaims(text)
}

// Find returns a claim by its name or, if there is none, by a path of names with dots between them. A dot or a backslash that
// is part of a name has a backslash before it: resource_access.my\.app.roles.
func (c Claims) Find(name string) (any, bool) {
	if value, ok := c[name]; ok {
		return value, true
	}
	var value any = map[string]any(c)
	for _, step := range steps(name) {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[step]; !ok {
			return nil, false
		}
	}
	return value, true
}

// steps returns the names that a path has.
func steps(path string) []string {
	var names []string
	var name strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '.':
			names = append(names, name.String())
			name.Reset()
			continue
		case path[i] == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\'):
			i++
		}
		name.WriteByte(path[i])
	}
	return append(names, name.String())
}

// Astray describes how far a path leads that finds nothing: to which object, and which names are in it. Values are left out.
func (c Claims) Astray(path string) string {
	const most = 20 // names
	object, at := map[string]any(c), "the claims have"
	for _, step := range steps(path) {
		next, ok := object[step].(map[string]any)
		if !ok {
			break
		}
		object, at = next, fmt.Sprintf("%q has", step)
	}
	names := slices.Sorted(maps.Keys(object))
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return fmt.Sprintf("%s %q", at, names)
}

// Text returns a claim that is a text; "" if it is anything else.
func (c Claims) Text(name string) string {
	value, _ := c.Find(name)
	text, _ := value.(string)
	return text
}

// Bool returns a claim that is a boolean, or a text or a number that says the same, as some providers have it: "True", 0. Any
// other value counts as false, with an error that names it.
func (c Claims) Bool(name string) (value, there bool, err error) {
	found, there := c.Find(name)
	if !there {
		return false, false, nil
	}
	switch v := found.(type) {
	case bool:
		return v, true, nil
	case string:
		switch strings.ToLower(v) {
		case "true", "1":
			return true, true, nil
		case "false", "0":
			return false, true, nil
		}
	case json.Number:
		if v == "0" || v == "1" {
			return v == "1", true, nil
		}
	}
	return false, true, fmt.Errorf("claim %q is %.40q, which is no boolean, and counts as false", name, fmt.Sprint(found))
}

// Time returns a claim that is a time, in seconds as a number or, as some providers have it, a text; the zero time otherwise.
func (c Claims) Time(name string) time.Time {
	var number string
	switch v := c[name].(type) {
	case json.Number:
		number = v.String()
	case string:
		number = v
	}
	seconds, err := strconv.ParseFloat(number, 64)
	const farthest = 1 << 40                                  // seconds; beyond, nobody means a time
	if err != nil || !(seconds >= 0 && seconds <= farthest) { // NaN is neither
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// Texts returns a claim that is a text or a list of texts.
func (c Claims) Texts(name string) []string {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, item := range v {
			if text, ok := item.(string); ok {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}
