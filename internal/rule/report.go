package rule

import "fmt"

// A Reporter takes what is wrong with the settings at keys: a config.Checker, which is above this package.
type Reporter interface {
	Errorf(key, format string, args ...any)
	Warnf(key, format string, args ...any)
	Required(key, value, what string) bool
	OptionalOf(key, value string, allowed []string)
}

// item returns the key of an item of a list.
func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
