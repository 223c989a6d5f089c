package config

import (
	"fmt"
	"slices"
	"strings"

	"dex/internal/spelling"
)

// A Checker collects problems with the values of a decoded section. Keys are dotted and relative to the section.
type Checker struct {
	section Section
	given   map[string]string // keys that the command line replaced, with the flag that did
	found   Problems
}

// Check decodes the section into dst and returns a checker for what it holds now.
func (s Section) Check(dst any) *Checker {
	c := s.Checker()
	c.Decode(s, dst)
	return c
}

// Checker returns a checker for a section that was decoded already. The zero section is for values that come from no file.
func (s Section) Checker() *Checker {
	if s.reading.broken == nil {
		s.reading.broken = map[string]bool{}
	}
	return &Checker{section: s}
}

// Problems returns what was found so far.
func (c *Checker) Problems() Problems { return c.found }

// Decode fills dst from another section of the same file, and reports what can't be read.
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

// Errorf reports an error in the setting at a key.
func (c *Checker) Errorf(key, format string, args ...any) { c.report(false, key, format, args...) }

// Warnf reports a warning about the setting at a key.
func (c *Checker) Warnf(key, format string, args ...any) { c.report(true, key, format, args...) }

// Overrides reports that the setting at a key replaces one further up in the file, at another key. That has always been the
// rule, and tools write such files.
func (c *Checker) Overrides(key, other, format string, args ...any) {
	c.WithConsequence(fmt.Sprintf("this one is used, and %s on line %d is not", c.section.keyOf(other), c.section.line(other)),
		func() { c.Warnf(key, format, args...) })
}

// WithConsequence adds a consequence to the problems that report reports.
func (c *Checker) WithConsequence(consequence string, report func()) {
	before := len(c.found)
	report()
	for i := range c.found[before:] {
		c.found[before+i].Consequence = consequence
	}
}

// report adds a problem, unless the setting couldn't be decoded: that was reported, and it only looks absent.
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

// Break marks a setting as one that could not be read, so that nothing more is reported about it.
func (c *Checker) Break(key string) { c.section.reading.broken[c.section.keyOf(key)] = true }

// Required reports an empty text as missing, and returns whether it isn't empty.
func (c *Checker) Required(key, value, what string) bool {
	if value == "" {
		c.Errorf(key, "is required: %s", what)
	}
	return value != ""
}

// OneOf reports a value that isn't one of the allowed ones.
func (c *Checker) OneOf(key, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	// A short list is read faster than a guess is checked, and values of several words don't differ by letters.
	if name, ok := spelling.Nearest(value, allowed); ok && len(allowed) > 3 && !strings.Contains(value, " ") {
		c.Errorf(key, "%q is not allowed; did you mean %q?", value, name)
	} else {
		c.Errorf(key, "%q is not allowed; it must be one of %s", value, Quoted(allowed))
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

// FromVariable returns the value of the environment variable that the setting at a key names.
func (c *Checker) FromVariable(key, name string) (value string, ok bool) {
	value, err := c.section.reading.env.require(name)
	if err != nil {
		c.Errorf(key, "%v", err)
	}
	return value, err == nil
}

// Absent warns that the file doesn't have what the setting at a key names.
func (c *Checker) Absent(key, what, id string) {
	c.Warnf(key, "there is no %s %q in this file; it works only if one is in the storage", what, id)
}

// Item returns the key of an item of a list.
func Item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// Quoted lists names in quotes, for a message.
func Quoted(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}
