package app_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/store/etcd"
	"dex/internal/store/kubernetes"
	"dex/internal/store/mysql"
	"dex/internal/store/postgres"
	"dex/internal/store/sqlite"
)

var (
	secretName = regexp.MustCompile(`(?i)(secret|passw|pw$|token$|hash$|key$|keydata$|credential)`)
	// notSecret are keys with such a name that hold something else: paths, names, headers, numbers and claims.
	notSecret = []string{
		"tlsKey", "clientKey", "decryptionKey", "spKey", "previousSPKey", "clientSecretFile", "secretHeader",
		"passwordConnector", "userIDKey", "userNameKey", "emailKey", "groupsKey", "preferredUsernameKey", "emailVerifiedKey",
		"passwordHash",

		"accessToken", "key", // a form of tokens, and the name of a claim

		"passwordHash", "applicationCredentialID", "iamCredentialsURL",
	}
)

// Every key that holds a secret is marked, and the documentation has the key for a file with it.
func TestSecretsAreMarked(t *testing.T) {
	text := docs(t)["docs/configuration.md"]
	all := map[string]reflect.Type{
		"": reflect.TypeFor[config.Config](), "signer.config": reflect.TypeFor[config.VaultSigner](),
		"staticClients[]": reflect.TypeFor[client.Client](), "staticPasswords[]": reflect.TypeFor[local.User](),
		"sqlite3": reflect.TypeFor[sqlite.Config](), "postgres": reflect.TypeFor[postgres.Config](), "mysql": reflect.TypeFor[mysql.Config](),
		"etcd": reflect.TypeFor[etcd.Config](), "kubernetes": reflect.TypeFor[kubernetes.Config](),
	}
	for _, kind := range federation.Types() {
		if settings, ok := federation.NewConfig(kind); ok && settings != nil {
			all[kind] = reflect.TypeOf(settings).Elem()
		}
	}
	used := map[string]bool{}
	for where, settings := range all {
		forEachKey(settings, func(key string, f reflect.StructField) {
			marked := f.Tag.Get("secret")
			isText := f.Type.Kind() == reflect.String || f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Uint8
			looks := secretName.MatchString(key) && isText && marked == ""
			if used[key] = used[key] || looks; looks && !slices.Contains(notSecret, key) {
				t.Errorf("%s: %s looks like a secret, and has no tag secret", where, key)
			}
			if marked == "file" && !strings.Contains(text, "`"+key+"File`") {
				t.Errorf("%s: %sFile is not in docs/configuration.md", where, key)
			}
		})
	}
	for _, key := range notSecret {
		if !used[key] {
			t.Errorf("%s needs no exception", key)
		}
	}
}

// forEachKey visits the keys of settings, at all depths.
func forEachKey(s reflect.Type, visit func(key string, f reflect.StructField)) {
	for i := range s.NumField() {
		f := s.Field(i)
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		key := f.Tag.Get("key")
		if key != "" && key != "-" {
			visit(key, f)
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() != "time" && inner != reflect.TypeFor[config.Section]() && inner != reflect.TypeFor[config.List]() &&
			(f.Anonymous || key != "") {
			forEachKey(inner, visit)
		}
	}
}
