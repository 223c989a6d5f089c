package oauth

import "strings"

// IsBearerToken reports whether a text can be sent as a bearer token (b64token of RFC 6750, section 2.1). Check this before
// forwarding one: a trailing blank, for example, makes it a different text here, but HTTP strips it on the way to the next
// server.
func IsBearerToken(text string) bool {
	bare := strings.TrimRight(text, "=")
	for i := range len(bare) {
		if !isTokenChar(bare[i]) {
			return false
		}
	}
	return bare != ""
}

func isTokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/", c) >= 0
}
