package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"
)

// EscapeControls escapes the control characters that JSON may have as they are, DEL and U+0080 to U+009F: terminals that show a line
// obey some of them, and strangers choose texts in it.
func EscapeControls(line []byte) []byte {
	isControl := func(r rune) bool { return r >= 0x7F && r <= 0x9F }
	if !bytes.ContainsFunc(line, isControl) {
		return line
	}
	var escaped []byte
	for _, r := range string(line) {
		if isControl(r) {
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		} else {
			escaped = utf8.AppendRune(escaped, r)
		}
	}
	return escaped
}

// escaping is a writer of whole lines of JSON.
type escaping struct{ io.Writer }

func (e escaping) Write(line []byte) (int, error) {
	escaped := EscapeControls(line)
	n, err := e.Writer.Write(escaped)
	if n == len(escaped) {
		n = len(line)
	}
	return min(n, len(line)), err
}
