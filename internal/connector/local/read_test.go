package local

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
)

const hash = "$2y$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

// read returns the users of a configuration with some settings.
func read(t *testing.T, settings string) []*User {
	t.Helper()
	src := config.Source{
		Name: "dex.yaml", Data: []byte("issuer: https://dex.test\nstorage: {type: memory}\nweb: {http: ':80'}\nenablePasswordDB: true\n" + settings),
		Env: func(name string) (string, bool) { return hash, name == "HASH" },
	}
	cfg, problems := src.Load()
	users, found := Read(cfg)
	if err := append(problems, found...).Err(); err != nil {
		t.Fatal(err)
	}
	return users
}

func TestPasswordHashes(t *testing.T) {
	got := read(t, strings.ReplaceAll(`
staticPasswords:
- {email: a@example.net, userID: a, username: a, hash: HASH, emailVerified: no}
- {email: b@example.net, userID: b, username: b, name: B, hash: JDJ5JDEwJDJiMmNVOENQaE9UYUdyczFIUlF1QXVlUzdKVFQ1WkhzSFN6WWlGUG0xbGVaY2s3TWM4VDRXCg==}
- {email: c@example.net, userID: 1, hashFromEnv: HASH, groups: [x, 1]}
`, "hash: HASH", "hash: "+hash))
	want := []*User{
		{Email: "a@example.net", UserID: "a", Username: "a", Hash: Hash(hash), EmailVerified: new(false)},
		{Email: "b@example.net", UserID: "b", Username: "b", Name: "B", Hash: Hash(hash)},
		{Email: "c@example.net", UserID: "1", Hash: Hash(hash), Groups: []string{"x", "1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	for i, name := range []string{"a", "B", ""} {
		if id := got[i].Identity(); id.Username != name || id.EmailVerified != (i > 0) {
			t.Errorf("user %d is %+v", i, id)
		}
	}
}

// Every member of a user is read from the file, stored, and read again: one that is forgotten anywhere is missed here.
func TestEveryMember(t *testing.T) {
	var want User
	var file strings.Builder
	for field, value := range reflect.ValueOf(&want).Elem().Fields() {
		key := field.Tag.Get("key")
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); key == "" || name != key {
			t.Errorf("%s is %q in the file and %q in the storage", field.Name, key, name)
		}
		written := key
		switch v := value.Addr().Interface().(type) {
		case *string:
			*v = key
		case *[]string:
			*v, written = []string{key}, "["+key+"]"
		case **bool:
			*v, written = new(true), "true"
		case *Hash:
			*v, written = Hash(hash), hash
		default:
			t.Fatalf("%s has the type %s: say how it is written", field.Name, field.Type)
		}
		fmt.Fprintf(&file, "  %s: %s\n", key, written)
	}
	users := read(t, "staticPasswords:\n- # all\n"+file.String())
	if diff := cmp.Diff([]*User{&want}, users); diff != "" {
		t.Errorf("from the file (-want +got):\n%s", diff)
	}
	document, err := json.Marshal(users[0])
	if err != nil {
		t.Fatal(err)
	}
	var stored, imported User
	if err := json.Unmarshal(document, &stored); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("from the storage (-want +got):\n%s", diff)
	}
	section, err := config.SectionFromJSON("user", document)
	if err != nil {
		t.Fatal(err)
	}
	problems := section.Decode(&imported)
	if diff := cmp.Diff(want, imported); diff != "" || len(problems) > 0 {
		t.Errorf("from JSON (-want +got):\n%s\n%v", diff, problems)
	}
}

// Members as upstream's objects have them.
func TestStoredForm(t *testing.T) {
	got, err := json.Marshal(User{Email: "A@b", Hash: Hash("$2a"), Username: "u", EmailVerified: new(false), UserID: "1"})
	if want := `{"email":"A@b","hash":"JDJh","username":"u","emailVerified":false,"userID":"1"}`; err != nil || string(got) != want {
		t.Errorf("got %s, want %s, error %v", got, want, err)
	}
	if got, err := json.Marshal(User{}); err != nil || string(got) != "{}" {
		t.Errorf("got %s, error %v", got, err)
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		user User
		want string
	}{
		{User{Email: "a@b", Hash: Hash(hash)}, ""},
		{User{}, "email: is required: users log in with it\nhash: is required"},
		{User{Email: "a@b", Hash: decoy(4)}, `hash: the password hash of "a@b" has the bcrypt cost 4; it must be from 10 to 16; make a new hash with dex hash-password`},
		{User{Email: "a@b", Hash: Hash("hunter2")}, `hash: the password hash of "a@b" is neither a bcrypt nor an argon2id hash, as dex hash-password prints them, nor one in base64`},
	} {
		got := ""
		if err := test.user.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", test.user, got, test.want)
		}
	}
}
