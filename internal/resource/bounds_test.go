package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/config"
)

// TestBigSecretsAreNotKept shows that whoever may write Secrets in a namespace can't fill the memory of the server with them.
func TestBigSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		big := secretObject(strings.Repeat("x", 1<<20))
		for _, namespace := range []string{"dex", "team"} {
			f.set(api+namespace+"/dexclients/app", appObject())
			f.set("/api/v1/namespaces/"+namespace+"/secrets/app", big)
		}
		w := f.start(t, lonely{}, "team")
		synctest.Wait()
		for namespace, most := range map[string]int{"dex": maxSecret + 1, "team": maxTenantSecret + 1} {
			w.secrets.mu.Lock()
			kept := len(w.secrets.known[secretID{namespace, "app"}].values["secret"])
			w.secrets.mu.Unlock()
			if kept > most {
				t.Errorf("%d bytes of a Secret in %s are kept, want %d at most", kept, namespace, most)
			}
			_, err := w.secrets.value(namespace, secretRef{"app", "secret"})
			if want := fmt.Sprintf("has more than %d bytes", most-1); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", namespace, err, want)
			}
		}
	})
}

// TestMissingSecretsAreSoughtLessOften shows that clients without Secrets, of which a namespace may have many, don't keep the API
// server busy, which would slow down a storage there.
func TestMissingSecretsAreSoughtLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		f.set(api+"team/dexclients/app", appObject())
		f.start(t, lonely{}, "team")
		time.Sleep(3 * missingAge)
		if n := f.reads(); n < 2 {
			t.Errorf("a missing Secret was sought %d times in the first seconds", n)
		}
		time.Sleep(time.Minute)
		before := f.reads()
		time.Sleep(10 * secretAge)
		if n := f.reads() - before; n > 11 {
			t.Errorf("a missing Secret was sought %d times in %v", n, 10*secretAge)
		}
	})
}

// TestSecretsOfOwnNamespaceComeFirst shows that a slow API server and many Secrets of others keep nobody from a new value for long.
func TestSecretsOfOwnNamespaceComeFirst(t *testing.T) {
	t.Parallel()
	s := &secrets{home: "dex", known: map[secretID]secret{}}
	wanted := map[secretID]map[string]bool{}
	for i := range 50 {
		id := secretID{"team", fmt.Sprint(i)}
		wanted[id] = map[string]bool{"secret": true}
		s.known[id] = secret{read: time.Unix(int64(1000-i), 0)}
	}
	wanted[secretID{"dex", "app"}] = map[string]bool{"secret": true}
	due := s.due(wanted)
	if len(due) != 51 || due[0].id != (secretID{"dex", "app"}) || due[1].id.name != "49" || due[50].id.name != "0" {
		t.Errorf("in this order: %v", due)
	}
}

// TestUnreadSecretIsStillDue shows that a Secret for which the time did not suffice isn't taken for one that was read.
func TestUnreadSecretIsStillDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		f.set(app, appObject())
		f.set(appSecret, secretObject("first"))
		w := f.start(t, lonely{})
		synctest.Wait()
		id, keys := secretID{"dex", "app"}, map[string]bool{"secret": true}
		w.secrets.mu.Lock()
		before := w.secrets.known[id]
		w.secrets.mu.Unlock()
		time.Sleep(secretAge + time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if after := w.secrets.fetch(ctx, id, keys, before); string(after.values["secret"]) != "first" || !after.old(keys) {
			t.Errorf("got %+v", after)
		}
	})
}

// TestStatusesCount shows that people with a right to statuses can't fill the memory through them either.
func TestStatusesCount(t *testing.T) {
	t.Parallel()
	f := &follower{kind: clients, objects: map[string]*object{}}
	for i := range 100 {
		o := &object{Metadata: metadata{Name: fmt.Sprint(i)}}
		o.Status.Conditions = []condition{{Type: "Other", Message: strings.Repeat("x", 1<<20)}}
		f.take(o, false)
	}
	if len(f.objects) >= maxBytes>>20 {
		t.Errorf("%d objects with a status of a MiB each are kept", len(f.objects))
	}
}

// TestStartWithOneNamespaceSilent shows that a namespace that can't be listed in time doesn't keep clients of others out of use.
func TestStartWithOneNamespaceSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		f.set(app, appObject())
		f.set(appSecret, secretObject("first"))
		f.silent = "/silent/"
		w := f.load(t, lonely{}, "silent")
		if got := w.secretOf("app"); got != "first" {
			t.Errorf("the secret is %q at the start", got)
		}
	})
}

func TestNamespacesAreBounded(t *testing.T) {
	t.Parallel()
	f := &follower{kind: clients, objects: map[string]*object{}}
	for i := range maxObjects + 10 {
		f.take(&object{Metadata: metadata{Name: fmt.Sprint(i)}}, false)
	}
	if _, err := f.trouble(); len(f.objects) != maxObjects || err == nil {
		t.Errorf("%d objects, %v", len(f.objects), err)
	}
	f = &follower{kind: clients, objects: map[string]*object{}}
	spec := json.RawMessage(strings.Repeat("x", 1<<20))
	for i := range 100 {
		f.take(&object{Metadata: metadata{Name: fmt.Sprint(i)}, Spec: spec}, false)
		f.take(&object{Metadata: metadata{Name: "same"}, Spec: spec}, false)
	}
	if f.bytes > maxBytes || len(f.objects) != maxBytes>>20 {
		t.Errorf("%d bytes in %d objects", f.bytes, len(f.objects))
	}
	f.take(&object{Metadata: metadata{Name: "same", DeletionTimestamp: "now"}}, false)
	if f.objects["same"] != nil {
		t.Error("an object that is being deleted is in use")
	}
}

// TestNoFormOfASecretIsTold shows that messages have no value of a Secret as it is, as settings have files, or as messages quote it.
func TestNoFormOfASecretIsTold(t *testing.T) {
	t.Parallel()
	const value = `top "secret" \ value`
	x := &reading{
		reader: &reader{secret: func(string, secretRef) ([]byte, error) { return []byte(value + "\n"), nil }},
		object: &object{kind: connectors},
	}
	settings := map[string]any{}
	for _, key := range []string{"clientSecret", "rootCAData"} {
		settings[key] = map[string]any{"secretRef": map[string]any{"name": "a", "key": "b"}}
	}
	x.fillIn(settings)
	for _, form := range []any{value, settings["clientSecret"], settings["rootCAData"], fmt.Sprintf("%q", settings["clientSecret"])} {
		text := x.text(config.Problems{{Message: fmt.Sprintf("it is %v, and wrong", form)}})
		if !strings.Contains(text, "***") || strings.Contains(text, fmt.Sprint(form)) {
			t.Errorf("it says %q", text)
		}
	}
}
