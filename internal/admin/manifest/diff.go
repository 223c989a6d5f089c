package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dex/internal/federation"
)

// hidden are the members that hold secrets. Those of connectors are in their settings.
var hidden = map[*Kind][]string{
	Clients: {"secret", "previousSecret"},
	Users:   {"hash", "password"},
}

// bookkeeping are the members that the server keeps by itself.
var bookkeeping = []string{"origin", "revision"}

// Shown returns the members of a thing that may be shown: without its secrets.
func Shown(kind *Kind, values map[string]any) map[string]any {
	shown := maps.Clone(values)
	for _, key := range hidden[kind] {
		delete(shown, key)
	}
	settings, ok := shown["config"].(map[string]any)
	if !ok {
		return shown
	}
	shown["config"] = nil // if anything fails: better nothing than too much
	data, err := json.Marshal(settings)
	if err != nil {
		return shown
	}
	var open map[string]any
	if json.Unmarshal(federation.WithoutSecrets(data), &open) == nil {
		shown["config"] = open
	}
	return shown
}

// Diff returns a line for each difference between two versions of a thing, as the server shows them: nil for one that doesn't exist.
// Secrets that are given are listed without their values, as nobody can say whether they are new.
func Diff(kind *Kind, before, after map[string]any, secrets []string) []string {
	old, now := flat(Shown(kind, before)), flat(Shown(kind, after))
	lines := map[string]string{}
	for key, value := range now {
		was, there := old[key]
		switch {
		case !there:
			lines[key] = fmt.Sprintf("+ %s: %s", key, value)
		case was != value:
			lines[key] = fmt.Sprintf("~ %s: %s -> %s", key, was, value)
		}
	}
	for key, value := range old {
		if _, there := now[key]; !there {
			lines[key] = fmt.Sprintf("- %s: %s", key, value)
		}
	}
	for _, key := range secrets {
		mark := "~"
		if before == nil {
			mark = "+"
		}
		lines[key] = mark + " " + key + ": (secret changed)"
	}
	all := make([]string, 0, len(lines))
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		all = append(all, lines[key])
	}
	return all
}

// flat returns the leaves of an object, as JSON, by their dotted keys. Lists are leaves.
func flat(object map[string]any) map[string]string {
	leaves := map[string]string{}
	for key, value := range object {
		if slices.Contains(bookkeeping, key) {
			continue
		}
		flatten(key, value, leaves)
	}
	return leaves
}

func flatten(key string, value any, leaves map[string]string) {
	if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
		for name, v := range inner {
			flatten(key+"."+name, v, leaves)
		}
		return
	}
	if value == nil {
		return
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(value) == nil {
		leaves[key] = strings.TrimSpace(text.String())
	}
}
