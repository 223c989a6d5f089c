package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"dex/internal/event"
)

// What strangers send can't tell a terminal or a reader of lines anything.
func TestControlCharactersAreEscaped(t *testing.T) {
	t.Parallel()
	sent := "a\u009b31m\u0085\x7f\x1b[2J\r\n{}\u2028\u2029é"
	records, _ := recordsOf(event.UnknownClient{ClientID: sent})
	body := encode(records[0]).body
	if at := strings.IndexFunc(string(body), func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }); at >= 0 {
		t.Errorf("a control character at %d of %q", at, body)
	}
	var read Record
	if err := json.Unmarshal(body, &read); err != nil || read.Client != sent {
		t.Errorf("read %q, %v", read.Client, err)
	}
}
