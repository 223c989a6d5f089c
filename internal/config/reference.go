package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

// A reference in a text stands for what it names: ${file:PATH}, ${env:NAME}, ${credential:NAME} of systemd, and ${text:TEXT}
// for TEXT itself, so that every text can be written. What it stands for is not expanded again.
var (
	references    = regexp.MustCompile(`\$\{(file|env|credential|text):([^}]*)\}`)
	openReference = regexp.MustCompile(`\$\{(file|env|credential|text):[^}]*$`)
	// credentialName is what systemd takes for the name of a credential, without a way out of the folder.
	credentialName = regexp.MustCompile(`^[A-Za-z0-9_@:-][A-Za-z0-9_.@:-]*$`)
)

// credentialsVariable names the folder that systemd has put the credentials of a unit into.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// hasReference reports whether a text has a reference that is replaced.
func (d *decoder) hasReference(text string) bool {
	return d.files != nil && references.MatchString(text)
}

// resolve replaces the references in a text. The rest goes through plain. It reports what can't be replaced, and returns false.
func (d *decoder) resolve(s setting, text string, plain func(string) string) (string, bool) {
	var b strings.Builder
	end := 0
	for _, at := range references.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(plain(text[end:at[0]]))
		value, ok, err := d.lookUp(text[at[2]:at[3]], text[at[4]:at[5]])
		if err != nil {
			d.errorf(s, "%v", err)
		}
		if !ok {
			d.markBroken(s.key)
			return "", false
		}
		b.WriteString(value)
		end = at[1]
	}
	rest := text[end:]
	if openReference.MatchString(rest) {
		d.errorf(s, "a reference such as ${file:/path} is not closed by a }")
		return "", false
	}
	b.WriteString(plain(rest))
	return b.String(), true
}

// lookUp returns what a reference stands for; false without an error if that is to be skipped.
func (d *decoder) lookUp(kind, name string) (value string, ok bool, err error) {
	switch kind {
	case "text":
		return name, true, nil
	case "env":
		value, err = d.env.require(name)
		return value, err == nil, err
	case "credential":
		if !credentialName.MatchString(name) {
			return "", false, errors.New("${credential:NAME} needs the name of a credential: letters, digits, dots, hyphens and underscores")
		}
		if d.files.skip {
			return "", false, nil
		}
		folder, err := d.env.require(credentialsVariable)
		if err != nil {
			return "", false, fmt.Errorf("there are no credentials, as systemd didn't start this process with LoadCredential=: %w", err)
		}
		return d.files.text(filepath.Join(folder, name))
	default:
		return d.files.text(name)
	}
}

// fromFile fills a setting with the text in a file, whose path stands at a key of its own; false if it can't. An empty path is none.
func (d *decoder) fromFile(s setting, given bool, dst reflect.Value) bool {
	path, ok := d.text(s, "the path of a file")
	switch {
	case !ok || path == "":
		return ok
	case given:
		d.errorf(s, "give %[1]s or %[1]sFile, not both", strings.TrimSuffix(s.key[strings.LastIndexByte(s.key, '.')+1:], "File"))
		return false
	case d.files == nil:
		d.errorf(s, "files are read for the configuration file only; give the text itself")
		return false
	}
	text, ok, err := d.files.text(path)
	if err != nil {
		d.errorf(s, "%v", err)
	}
	if !ok {
		return false
	}
	before := len(d.found)
	d.decode(setting{node: textNode(text), key: s.key, at: s.at, depth: s.depth, literal: true}, dst)
	return !d.found[before:].HasErrors()
}

// markBroken marks a setting as one that could not be read, so that nothing more is reported about it.
func (d *decoder) markBroken(key string) {
	if d.broken != nil {
		d.broken[key] = true
	}
}
