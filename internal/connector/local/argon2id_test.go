package local

import (
	"encoding/base64"
	"strings"
	"testing"
)

// passwordHash is the hash of "password" by the reference implementation of argon2, with the salt "somesalt".
const passwordHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func salted(salt, sum int) string {
	encode := func(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	return "$" + encode(salt) + "$" + encode(sum)
}

func TestArgon2idSyntax(t *testing.T) {
	const begin = "$argon2id$v=19$m=19456,t=2,p=1"
	for hash, want := range map[string]string{
		begin + salted(16, 32):                             "",
		begin + salted(8, 16):                              "",
		begin + salted(64, 64):                             "",
		"$argon2id$v=19$m=65536,t=10,p=4" + salted(16, 32): "",
		"$argon2id$v=19$m=32,t=1,p=4" + salted(16, 32):     "",
		passwordHash:                                       "",

		begin + salted(7, 32):                                     "wrong size",
		begin + salted(65, 32):                                    "wrong size",
		begin + salted(16, 15):                                    "wrong size",
		begin + salted(16, 65):                                    "wrong size",
		"$argon2id$v=19$m=65537,t=2,p=1" + salted(16, 32):         "too much",
		"$argon2id$v=19$m=19456,t=11,p=1" + salted(16, 32):        "too much",
		"$argon2id$v=19$m=19456,t=2,p=5" + salted(16, 32):         "too much",
		"$argon2id$v=19$m=4294967297,t=2,p=1" + salted(16, 32):    "too much",
		"$argon2id$v=19$m=31,t=1,p=4" + salted(16, 32):            "less memory",
		"$argon2id$v=19$m=0,t=2,p=1" + salted(16, 32):             "in the form",
		"$argon2id$v=19$m=19456,t=0,p=1" + salted(16, 32):         "in the form",
		"$argon2id$v=19$m=019456,t=2,p=1" + salted(16, 32):        "in the form",
		"$argon2id$v=19$m=+1,t=2,p=1" + salted(16, 32):            "in the form",
		"$argon2id$v=19$t=2,m=19456,p=1" + salted(16, 32):         "in the form",
		"$argon2id$v=19$m=19456,t=2,p=1,data=AA" + salted(16, 32): "in the form",
		"$argon2id$v=16$m=19456,t=2,p=1" + salted(16, 32):         "in the form",
		"$argon2id$m=19456,t=2,p=1" + salted(16, 32):              "in the form",
		begin + salted(16, 32) + "=":                              "in the form",
		begin + salted(16, 32) + "\n":                             "in the form",
		begin + salted(16, 32) + "$":                              "in the form",
		begin + "$c29tZXNhbHQ$" + strings.Repeat("A", 42) + "B":   "in the form", // bits that belong to no byte
		begin + "$c29tZXNhbHQ$" + strings.Repeat("-", 43):         "in the form",
		begin + "$$" + strings.Repeat("A", 43):                    "in the form",
		"$argon2i$v=19$m=19456,t=2,p=1" + salted(16, 32):          "neither a bcrypt nor an argon2id",
		"x$argon2id$v=19$m=19456,t=2,p=1" + salted(16, 32):        "neither a bcrypt nor an argon2id",
	} {
		err := Hash(hash).Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", hash, err, want)
		}
	}
}

// Hashes of other programs are understood.
func TestArgon2idOfOthers(t *testing.T) {
	a, err := parseArgon2id([]byte(passwordHash))
	if err != nil {
		t.Fatal(err)
	}
	if got := a.key([]byte("password")); string(got) != string(a.sum) {
		t.Errorf("got %x, want %x", got, a.sum)
	}
	if a.String() != passwordHash {
		t.Errorf("got %s", a)
	}
}

// What is read as a hash has one form, and can be computed within the bounds.
func FuzzArgon2id(f *testing.F) {
	f.Add(passwordHash)
	f.Add("$argon2id$v=19$m=65536,t=10,p=4" + salted(64, 64))
	f.Add("$argon2id$v=19$m=4294967296,t=2,p=1" + salted(16, 32))
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseArgon2id([]byte(text))
		if err != nil {
			return
		}
		if a.String() != text {
			t.Errorf("%q is read as %q", text, a)
		}
		if a.work() > maxMemory*maxPasses || a.lanes < 1 || a.lanes > maxLanes || a.memory < 8*uint32(a.lanes) || len(a.sum) < minSum || len(a.salt) < minSalt {
			t.Errorf("%q is out of bounds", text)
		}
	})
}
