package oauth

import "strings"

// IsBearerToken reports whether a text can be sent as a bearer token (b64token of RFC 6750, section 2.1). What is shown with
// it has to be checked first: a blank at the end, say, makes another text of a token here, and HTTP takes it away on the way
// to whoever reads it next.
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
