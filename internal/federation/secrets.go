package federation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dex/internal/config"
)

// harmless are the keys of connectors' settings that only sound as if they held a secret: names of claims and headers, paths of
// files, addresses. Those that end in URL, File or Path go without saying.
var harmless = []string{
	"applicationCredentialID", "clientKey", "clientKeyAlgorithm", "decryptionKey", "emailKey", "emailVerifiedKey", "exchangeAccessTokensBy",
	"fallbackToPassword", "groupsKey", "insecureIgnoreKeyUse", "insecureSkipAtHash", "keystoneHost",
	"keystoneUsername", "keytabPrincipal", "maxKeyAge", "preferredUsernameKey", "previousSPKey",
	"secretHeader", "spKey", "userIDKey", "userNameKey",
}

// isSecret reports whether the value at a key of a connector's settings may not be shown.
func isSecret(key string) bool {
	if !config.IsSecret(key) {
		return false
	}
	if slices.ContainsFunc(harmless, func(known string) bool { return strings.EqualFold(known, key) }) {
		return false
	}
	lower := strings.ToLower(key)
	return !slices.ContainsFunc([]string{"url", "file", "path"}, func(end string) bool { return strings.HasSuffix(lower, end) })
}

// WithoutSecrets returns connectors' settings without the values that may not be shown. Settings that are no JSON object have nothing
// that could be told apart, so nothing of them is left.
func WithoutSecrets(settings []byte) []byte {
	object, err := readObject(settings)
	if err != nil || object == nil {
		return nil
	}
	return writeObject(omit(object).(map[string]any))
}

func omit(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			if isSecret(key) {
				delete(value, key)
				continue
			}
			value[key] = omit(v)
		}
	case []any:
		for i, v := range value {
			value[i] = omit(v)
		}
	}
	return value
}

// KeepSecrets returns settings with the secrets of those before, where the settings leave them out. A secret that is null is not left
// out: it is removed. Secrets within lists are not kept, as nothing tells which item is which.
func KeepSecrets(before, settings []byte) []byte {
	old, err := readObject(before)
	if err != nil || old == nil {
		return settings
	}
	object, err := readObject(settings)
	if err != nil || object == nil {
		return settings
	}
	if !keep(old, object) {
		return settings
	}
	return writeObject(object)
}

// keep copies the secrets that an object leaves out, and reports whether there were any.
func keep(before, object map[string]any) (kept bool) {
	for key, old := range before {
		now, there := memberOf(object, key)
		inner, isObject := old.(map[string]any)
		nowInner, both := now.(map[string]any)
		switch {
		case isObject && both:
			kept = keep(inner, nowInner) || kept
		case isSecret(key) && !there:
			object[key], kept = old, true
		}
	}
	return kept
}

// memberOf returns a member of settings, whose keys match without regard to case.
func memberOf(object map[string]any, key string) (value any, ok bool) {
	if value, ok = object[key]; ok {
		return value, true
	}
	for written, value := range object {
		if strings.EqualFold(written, key) {
			return value, true
		}
	}
	return nil, false
}

// readObject reads a JSON object and leaves its numbers as they are written; nil for none.
func readObject(data []byte) (map[string]any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	return object, nil
}

func writeObject(object map[string]any) []byte {
	data, err := json.Marshal(object)
	if err != nil {
		return nil // what was read from JSON can be written as JSON
	}
	return data
}
