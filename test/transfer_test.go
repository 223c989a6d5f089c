package e2e

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestMoveBetweenStorages moves one login from storage to storage, through files, until it is back where it began. Nobody is
// signed out on the way: keys and refresh tokens keep working.
func TestMoveBetweenStorages(t *testing.T) {
	t.Parallel()
	first := newConfiguration(t).withoutConsent().withStorage(t, "sqlite3")
	d := startDex(t, first)
	keys, token := d.keyIDs(t), d.mustLogin(t, "mock").RefreshToken
	d.stop(t)

	from := first
	for i, kind := range []string{"postgres", "etcd", "kubernetes", "mysql", "sqlite3"} {
		to := newConfiguration(t).withoutConsent().withIssuer(first.issuer).withStorage(t, kind)
		to.root["web"] = first.root["web"]
		file := filepath.Join(t.TempDir(), "export.jsonl")
		key := "" // every other file is sealed, and so are the storages that it comes from and goes to
		if i%2 == 1 {
			key = "a storage key of more than 32 characters"
		}
		dexCommand(t, key, "export", from.write(t), "--output", file)
		dexCommand(t, key, "import", to.write(t), file)
		dexCommand(t, key, "import", to.write(t), file) // finds everything there already
		if key != "" {
			dexCommand(t, key, "reseal", to.write(t))
		}

		d := startDexWith(t, to, key)
		if got := d.keyIDs(t); !slices.Equal(got, keys) {
			t.Errorf("on %s the keys are %v, and were %v", kind, got, keys)
		}
		next := d.mustRefresh(t, token)
		if next.status != http.StatusOK {
			t.Fatalf("on %s the refresh token gets status %d, error %q", kind, next.status, next.Error)
		}
		token = next.RefreshToken
		d.stop(t)
		if key != "" { // the next one is in clear again, so that each way is tested
			plain := newConfiguration(t).withStorage(t, kind)
			dexCommand(t, key, "export", to.write(t), "--output", file, "--force", "--clear")
			dexCommand(t, "", "import", plain.write(t), file)
			to.root["storage"] = plain.root["storage"]
		}
		from = to
	}
}

// storageKey is the environment that gives a storage key, if there is one.
func storageKey(key string) []string {
	if key == "" {
		return nil
	}
	return []string{"DEX_STORAGE_KEY=" + key}
}

// dexCommand runs one of the program's commands to its end.
func dexCommand(t *testing.T, key string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binaries.dex, args...)
	cmd.Env = append(cleanEnvironment(), storageKey(key)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dex %v: %v\n%s", args, err, out)
	}
}

// startDexWith is startDex with a storage key.
func startDexWith(t *testing.T, c *configuration, key string) *dex {
	t.Helper()
	cmd := exec.Command(binaries.dex, "serve", c.write(t))
	cmd.Env = append(cleanEnvironment(), storageKey(key)...)
	transport := newTransport(nil)
	d := &dex{process: startCommand(t, "dex", cmd), configuration: c, transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	return d
}
