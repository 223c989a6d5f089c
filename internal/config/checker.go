package config

import (
	"fmt"
	"slices"
	"strings"
)

// A Checker collects what is wrong with the values of a section that has been decoded. Keys are dotted, and relative to the
// section.
type Checker struct {
	section Section
	given   map[string]string // keys that the command line replaced, with the flag that did
	found   Problems
}

// Check decodes the section into dst and returns a checker of what it holds now.
func (s Section) Check(dst any) *Checker {
	c := s.Checker()
	c.Decode(s, dst)
	return c
}

// Checker returns a checker of a section that was decoded already, or of values that are in no file.
func (s Section) Checker() *Checker {
	if s.reading.broken == nil {
		s.reading.broken = map[string]bool{}
	}
	return &Checker{section: s}
}

// Problems returns what was found.
func (c *Checker) Problems() Problems { return c.found }

// Decode fills dst from a section within the checker's file, and reports what can't be read.
func (c *Checker) Decode(s Section, dst any) {
	found := s.Decode(dst)
	c.markBroken(found)
	c.found = append(c.found, found...)
}

func (c *Checker) markBroken(decoded Problems) {
	for _, p := range decoded {
		if !p.Warning {
			c.section.reading.broken[p.Key] = true
		}
	}
}

// Errorf reports a mistake in the setting at a key.
func (c *Checker) Errorf(key, format string, args ...any) { c.report(false, key, format, args...) }

// Warnf reports something about the setting at a key that keeps nobody from using it.
func (c *Checker) Warnf(key, format string, args ...any) { c.report(true, key, format, args...) }

// Overrides reports something in the file that takes the place of what stands further up, at another key. That has always
// been the rule, and tools write such files.
func (c *Checker) Overrides(key, other, format string, args ...any) {
	c.WithConsequence(fmt.Sprintf("this one is used, and %s on line %d is not", c.section.keyOf(other), c.section.line(other)),
		func() { c.Warnf(key, format, args...) })
}

// WithConsequence gives what is reported meanwhile a consequence.
func (c *Checker) WithConsequence(consequence string, report func()) {
	before := len(c.found)
	report()
	for i := range c.found[before:] {
		c.found[before+i].Consequence = consequence
	}
}

// report adds a problem, unless the setting has one already: what could not be decoded looks as if it were absent.
func (c *Checker) report(warning bool, key, format string, args ...any) {
	if c.IsBroken(key) {
		return
	}
	p := c.section.Problem(key, format, args...)
	if flag, ok := c.given[key]; ok {
		p = Problem{File: onCommandLine, Key: flag, Message: p.Message}
	}
	p.Warning = warning
	c.found = append(c.found, p)
}

// IsBroken reports whether a setting, or one that it is part of, could not be decoded.
func (c *Checker) IsBroken(key string) bool {
	broken := c.section.reading.broken
	for key = c.section.keyOf(key); key != ""; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
		if broken[key] {
			return true
		}
	}
	return broken[""]
}

// Break marks a setting as one that could not be read, so that it isn't reported as absent too.
func (c *Checker) Break(key string) { c.section.reading.broken[c.section.keyOf(key)] = true }

// Required reports an absent or empty text, and returns whether there is one.
func (c *Checker) Required(key, value, what string) bool {
	if value == "" {
		c.Errorf(key, "is required: %s", what)
	}
	return value != ""
}

// OneOf reports a value that isn't among the allowed ones.
func (c *Checker) OneOf(key, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	// Few names are quicker read than guessed at, and lists of words are not told apart by letters.
	if name, ok := nearest(value, allowed); ok && len(allowed) > 3 && !strings.Contains(value, " ") {
		c.Errorf(key, "%q is not allowed; did you mean %q?", value, name)
	} else {
		c.Errorf(key, "%q is not allowed; allowed are %s", value, Quoted(allowed))
	}
}

// OptionalOf is OneOf for a setting that may be empty.
func (c *Checker) OptionalOf(key, value string, allowed []string) {
	if value != "" {
		c.OneOf(key, value, allowed)
	}
}

// EachOf is OneOf for the items of a list.
func (c *Checker) EachOf(key string, values, allowed []string) {
	for i, value := range values {
		c.OneOf(Item(key, i), value, allowed)
	}
}

// FromVariable returns the value of the environment variable that the setting at key names. Unset and empty are the same
// error: an application with an empty secret would be open to everybody.
func (c *Checker) FromVariable(key, name string) (value string, ok bool) {
	if !variableName.MatchString(name) {
		// Not quoted, because it may be the secret itself, written under the wrong key.
		c.Errorf(key, "must be the name of an environment variable: letters, digits and underscores")
		return "", false
	}
	value, _ = c.section.reading.env.lookup(name)
	if value == "" {
		c.Errorf(key, "the environment variable %s is not set or is empty; it must hold the value", name)
		return "", false
	}
	return value, true
}

// Absent warns that the file doesn't have what is named at a key.
func (c *Checker) Absent(key, what, id string) {
	c.Warnf(key, "there is no %s %q in this file; it works only if one is in the storage", what, id)
}

// Item returns the key of an item of a list.
func Item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// Quoted lists names for a message.
func Quoted(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}
