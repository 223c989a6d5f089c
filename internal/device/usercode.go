package device

import (
	"crypto/rand"
	"math/big"
	"strings"
)

const (
	// userCodeLetters has no vowels, so that codes aren't words, and no letter that looks like a digit (RFC 8628, section 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

func newUserCode() string {
	code := make([]byte, 0, userCodeLength+1)
	for len(code) < userCodeLength+1 {
		if len(code) == userCodeLength/2 {
			code = append(code, '-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			panic(err) // never: the program ends if the system has no randomness
		}
		code = append(code, userCodeLetters[n.Int64()])
	}
	return string(code)
}

// readUserCode returns the code that a user has typed as it is stored. Case doesn't matter, and characters that no code has
// are ignored (RFC 8628, section 6.1), such as the colon of the line that the code or its link was copied from. It returns
// false for what can't be a code.
func readUserCode(typed string) (string, bool) {
	if len(typed) > 4*userCodeLength {
		return "", false
	}
	letters := strings.Map(func(r rune) rune {
		if !strings.ContainsRune(userCodeLetters, r) {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(letters) != userCodeLength {
		return "", false
	}
	return letters[:userCodeLength/2] + "-" + letters[userCodeLength/2:], true
}
