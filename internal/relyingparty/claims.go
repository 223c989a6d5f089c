// Package relyingparty is what clients of OAuth 2.0 and OpenID Connect providers share: token requests, challenges, claims.
package relyingparty

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// Find returns a claim by its name or, if there is none, by a path of names with dots between them.
func (c Claims) Find(name string) (any, bool) {
	if value, ok := c[name]; ok {
		return value, true
	}
	var value any = map[string]any(c)
	for step := range strings.SplitSeq(name, ".") {
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

// Text returns a claim that is a text; "" otherwise.
func (c Claims) Text(name string) string {
	value, _ := c.Find(name)
	text, _ := value.(string)
	return text
}

// Bool returns a claim that is a boolean, or a text that says the same, as some providers have it.
func (c Claims) Bool(name string) (value, ok bool) {
	found, _ := c.Find(name)
	switch v := found.(type) {
	case bool:
		return v, true
	case string:
		return v == "true", v == "true" || v == "false"
	}
	return false, false
}

// Time returns a claim that is a time; the zero time otherwise.
func (c Claims) Time(name string) time.Time {
	number, ok := c[name].(json.Number)
	if !ok {
		return time.Time{}
	}
	seconds, err := number.Float64()
	const farthest = 1 << 40 // seconds; beyond, nobody means a time
	if err != nil || seconds < 0 || seconds > farthest {
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
