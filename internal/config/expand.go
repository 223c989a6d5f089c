package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

var secretWords = []string{"secret", "passw", "passphrase", "pw", "token", "hash", "key", "credential"}

// IsSecret reports whether the value at a key may be a secret, judging by the key's name.
func IsSecret(key string) bool { return isSecret(key) }

// isSecret reports whether the value at a key must not appear in a message.
func isSecret(key string) bool {
	last := strings.ToLower(key[strings.LastIndexByte(key, '.')+1:])
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(last, word) })
}

// expanded returns the text of a scalar with references replaced, and $NAME and ${NAME} too if the setting is in an expanded
// section. There, a dollar sign can only be written as ${text:$}. A variable that isn't set is replaced by nothing, with a warning.
func (d *decoder) expanded(s setting) (string, bool) {
	text := scalarText(s.node)
	plain := func(part string) string {
		if !s.expand {
			return part
		}
		return os.Expand(part, func(name string) string {
			value, ok := d.env.lookup(name)
			if !ok {
				d.warnAt(s.at, s.key, "%s", unsetMessage(s.key, text, name))
			}
			return value
		})
	}
	switch {
	case s.literal:
		return text, true
	case d.files == nil:
		return plain(text), true
	}
	return d.resolve(s, text, plain)
}

// reference matches a value that is clearly a variable and not a password with a dollar sign.
var reference = regexp.MustCompile(`^(\$[A-Z_][A-Z0-9_]*|\$\{[A-Za-z_][A-Za-z0-9_]*\})$`)

func unsetMessage(key, text, name string) string {
	if isSecret(key) && !reference.MatchString(text) {
		return "a $ here begins the name of an environment variable that is not set, and both are removed; " +
			"write a $ as ${text:$}"
	}
	return "the environment variable " + printable(name) + " is not set, and stands for an empty text"
}
