package saml

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// dateTime is the form of xs:dateTime.
var dateTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,30})?(Z|[+-]\d\d:\d\d)?$`)

// ParseInstant reads an xs:dateTime. Without a time zone it is in UTC, as all of SAML's are (saml-core-2.0 section 1.3.3).
func ParseInstant(text string) (time.Time, error) {
	text = strings.TrimFunc(text, isSpace)
	form := dateTime.FindStringSubmatch(text)
	if form == nil {
		return time.Time{}, fmt.Errorf("%s is not a date and time", quote(text))
	}
	if form[2] == "" {
		text += "Z"
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is not a date and time: %w", quote(text), err)
	}
	return at.UTC(), nil
}

// instant reads an attribute that is an instant: zero if it is absent.
func instant(el *etree.Element, name string) (time.Time, error) {
	value, present := lookUp(el, name)
	if !present {
		return time.Time{}, nil
	}
	at, err := ParseInstant(value)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s of %s: %w", name, el.Tag, err)
	}
	if at.IsZero() {
		// The zero time of many languages, this one included: it must not pass for an absent one.
		return time.Time{}, fmt.Errorf("%s of %s is not set: %s", name, el.Tag, quote(value))
	}
	return at, nil
}

// A clock is the time at which a response is read, and how far the provider's may differ from it.
type clock struct {
	now  time.Time
	skew time.Duration
}

// within checks NotBefore and NotOnOrAfter of an element. Either may be absent. It returns the latter, zero if absent.
func (c clock) within(el *etree.Element) (time.Time, error) {
	notBefore, err := instant(el, "NotBefore")
	if err != nil {
		return time.Time{}, err
	}
	if !notBefore.IsZero() && c.now.Add(c.skew).Before(notBefore) {
		return time.Time{}, fmt.Errorf("%s is not valid before %s, and it is %s", el.Tag, show(notBefore), show(c.now))
	}
	return c.before(el, "NotOnOrAfter")
}

// before checks that the instant in an attribute, if there is one, lies in the future, and returns it.
func (c clock) before(el *etree.Element, name string) (time.Time, error) {
	end, err := instant(el, name)
	if err != nil {
		return time.Time{}, err
	}
	if !end.IsZero() && !c.now.Before(end.Add(c.skew)) {
		return time.Time{}, fmt.Errorf("%s has expired: its %s is %s, and it is %s", el.Tag, name, show(end), show(c.now))
	}
	return end, nil
}

func show(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// earlier returns the earlier of two instants. Zero stands for none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
