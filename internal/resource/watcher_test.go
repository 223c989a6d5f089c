package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/kubeapi"
	"dex/internal/store"
)

// A fakeAPI is an API server with the objects of a test. Its watches end at once with what has changed meanwhile.
type fakeAPI struct {
	mu      sync.Mutex
	objects map[string]map[string]any // by path
	version int
	changed chan struct{} // closed at the next change
	away    error         // of the network
	refuse  map[string]int
	patches []string
	secrets int    // reads
	silent  string // what paths have that get no answer
}

func newFakeAPI() *fakeAPI {
	return &fakeAPI{objects: map[string]map[string]any{}, refuse: map[string]int{}, changed: make(chan struct{})}
}

// set puts an object, or takes it away where it is nil.
func (f *fakeAPI) set(path string, object map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(path, object)
}

func (f *fakeAPI) put(path string, object map[string]any) {
	f.version++
	close(f.changed)
	f.changed = make(chan struct{})
	if object == nil {
		delete(f.objects, path)
		return
	}
	parts := strings.Split(path, "/")
	meta, _ := object["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{"generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z", "uid": path}
	}
	meta = maps.Clone(meta)
	meta["name"], meta["resourceVersion"] = parts[len(parts)-1], fmt.Sprint(f.version)
	object = maps.Clone(object)
	object["metadata"] = meta
	f.objects[path] = object
}

// reads returns how often Secrets were read.
func (f *fakeAPI) reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secrets
}

// RoundTrip answers as an API server.
func (f *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Has("watch") {
		return f.watch(r)
	}
	if f.silent != "" && strings.Contains(r.URL.Path, f.silent) {
		<-r.Context().Done()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return nil, f.away
	}
	for part, code := range f.refuse {
		if strings.Contains(r.URL.Path, part) {
			return answer(code, map[string]any{"kind": "Status", "code": code}), nil
		}
	}
	if strings.Contains(r.URL.Path, "/secrets/") {
		f.secrets++
	}
	switch object, there := f.objects[strings.TrimSuffix(r.URL.Path, "/status")]; {
	case r.Method == http.MethodPatch:
		return f.patch(r, object)
	case there:
		return answer(http.StatusOK, object), nil
	case strings.Contains(r.URL.Path, "/secrets/"):
		return answer(http.StatusNotFound, map[string]any{
			"kind": "Status", "code": 404, "details": map[string]any{"name": filepath.Base(r.URL.Path)},
		}), nil
	}
	items := []any{}
	for _, path := range slices.Sorted(maps.Keys(f.objects)) {
		if strings.HasPrefix(path, r.URL.Path+"/") {
			items = append(items, f.objects[path])
		}
	}
	return answer(http.StatusOK, map[string]any{"metadata": map[string]any{"resourceVersion": fmt.Sprint(f.version)}, "items": items}), nil
}

func (f *fakeAPI) patch(r *http.Request, object map[string]any) (*http.Response, error) {
	var change struct {
		Metadata struct{ ResourceVersion string }
		Status   map[string]any
	}
	if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
		return nil, err
	}
	meta, _ := object["metadata"].(map[string]any)
	if meta == nil || meta["resourceVersion"] != change.Metadata.ResourceVersion {
		return answer(http.StatusConflict, map[string]any{"kind": "Status", "code": 409}), nil
	}
	object = maps.Clone(object)
	object["status"] = change.Status
	text, err := json.Marshal(change.Status)
	f.patches = append(f.patches, string(text))
	f.put(strings.TrimSuffix(r.URL.Path, "/status"), object)
	return answer(http.StatusOK, object), err
}

// watch ends when something has changed: the version is then too old.
func (f *fakeAPI) watch(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	changed, now := f.changed, fmt.Sprint(f.version)
	f.mu.Unlock()
	if now == r.URL.Query().Get("resourceVersion") {
		select {
		case <-changed:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return answer(http.StatusGone, map[string]any{"kind": "Status", "code": 410}), nil
}

func answer(code int, body any) *http.Response {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(bytes.NewReader(text)), Header: http.Header{}}
}

// lonely are surroundings without anything else.
type lonely struct{ holder string }

func (lonely) PasswordDB() bool                                         { return true }
func (l lonely) Holder(context.Context, string, string) (string, error) { return l.holder, nil }
func (lonely) ConnectorsChanged()                                       {}

// start runs a watcher over the API server until the test ends.
func (f *fakeAPI) start(t *testing.T, s Surroundings, namespaces ...string) *Watcher {
	t.Helper()
	w := f.load(t, s, namespaces...)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx, s) })
	t.Cleanup(func() { stop(); running.Wait() })
	return w
}

// load returns a watcher that has read everything once.
func (f *fakeAPI) load(t *testing.T, s Surroundings, namespaces ...string) *Watcher {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{contexts: [{name: a, context: {cluster: a, namespace: dex}}], clusters: [{name: a, cluster: {server: "https://api.test"}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	api, err := kubeapi.Connect(kubeapi.Config{KubeConfigFile: file}, log, kubeapi.Transport(func(http.RoundTripper) http.RoundTripper { return f }))
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := url.Parse("https://dex.test")
	if err != nil {
		t.Fatal(err)
	}
	w := New(Config{API: api, Namespace: "dex", ClientNamespaces: namespaces, Issuer: issuer, Log: log})
	w.Load(t.Context(), s)
	return w
}

const (
	api       = "/apis/config.dex.coreos.com/v1alpha1/namespaces/"
	app       = api + "dex/dexclients/app"
	appSecret = "/api/v1/namespaces/dex/secrets/app"
)

func appObject() map[string]any {
	return map[string]any{"spec": map[string]any{
		"redirectURIs": []string{"https://a.test/cb"}, "secretRef": map[string]any{"name": "app", "key": "secret"},
	}}
}

func secretObject(value string) map[string]any {
	return map[string]any{"data": map[string]any{"secret": []byte(value)}}
}

func (w *Watcher) secretOf(id string) string {
	e, _ := w.layers.Clients.Get(id)
	return e.Value.Secret
}

func TestSecretsAreReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		f.set(app, appObject())
		w := f.start(t, lonely{})
		if w.secretOf("app") != "" {
			t.Error("a client without its Secret is in use")
		}
		f.set(appSecret, secretObject("first"))
		time.Sleep(2 * missingAge)
		if got := w.secretOf("app"); got != "first" {
			t.Errorf("once the Secret is there: %q", got)
		}
		before := f.reads()
		time.Sleep(time.Minute)
		if n := f.reads() - before; n < 1 || n > 3 {
			t.Errorf("the Secret was read %d times in a minute", n)
		}
		f.set(appSecret, secretObject("second"))
		time.Sleep(time.Minute)
		if got := w.secretOf("app"); got != "second" {
			t.Errorf("after a minute: %q", got)
		}
		f.mu.Lock()
		f.away = errors.New("no route to host")
		f.mu.Unlock()
		time.Sleep(time.Hour)
		if got := w.secretOf("app"); got != "second" {
			t.Errorf("while the server is away: %q", got)
		}
		f.mu.Lock()
		f.away = nil
		f.mu.Unlock()
		f.set(appSecret, nil)
		time.Sleep(time.Minute)
		if got := w.secretOf("app"); got != "" {
			t.Errorf("after the Secret is gone: %q", got)
		}
	})
}

func TestStatusesEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		f.set(appSecret, secretObject("secret"))
		f.set(app, appObject())
		for _, s := range []lonely{{}, {}, {"the configuration file"}} { // one of them sees the world differently
			f.start(t, s)
		}
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		first := len(f.patches)
		f.mu.Unlock()
		if first == 0 || first > 4 {
			t.Errorf("the status was written %d times: %q", first, f.patches)
		}
		time.Sleep(insistEvery / 2)
		f.mu.Lock()
		defer f.mu.Unlock()
		if later := len(f.patches); later != first {
			t.Errorf("it was written %d times more by those who differ: %q", later-first, f.patches[first:])
		}
		for _, text := range f.patches {
			if !strings.Contains(text, `"id":"app"`) || !strings.Contains(text, `"observedGeneration":1`) {
				t.Errorf("a status is %s", text)
			}
		}
	})
}

func TestOthersConditionsStay(t *testing.T) {
	t.Parallel()
	old := status{Conditions: []condition{
		{Type: "Synced", Status: "True", Reason: "x"},
		{Type: ready, Status: "False", LastTransitionTime: "then"},
	}}
	now := time.Unix(0, 0)
	fresh := old.with(decision{generation: 7, id: "a", reason: reasonInvalid, message: "m"}, now)
	if len(fresh.Conditions) != 2 || fresh.Conditions[0] != old.Conditions[0] || fresh.Conditions[1].LastTransitionTime != "then" {
		t.Errorf("got %+v", fresh)
	}
	if c := old.with(decision{reason: reasonAccepted}, now).Conditions[1]; c.Status != "True" || c.LastTransitionTime != "1970-01-01T00:00:00Z" {
		t.Errorf("when the status turns: %+v", c)
	}
	if d := (decision{generation: 7, id: "a", reason: reasonInvalid, message: "m"}); !fresh.says(d) || old.says(d) {
		t.Error("a status doesn't say what was put into it")
	}
}

// TestRefusedNamespace shows that a right that was taken away ends the use of what was there, though not at once, and nothing
// elsewhere.
func TestRefusedNamespace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		public := map[string]any{"spec": map[string]any{"public": true}}
		f.set(api+"a/dexclients/app", public)
		f.set(api+"b/dexclients/app", public)
		w := f.start(t, lonely{}, "a", "b", "dex", "a")
		if len(w.followers) != 5 {
			t.Errorf("%d followers, want three for Dex's own namespace and one for each other", len(w.followers))
		}
		uses := func(id string) bool {
			_, ok := w.layers.Clients.Get(id)
			return ok
		}
		f.mu.Lock()
		f.refuse["/a/dexclients"] = http.StatusForbidden
		f.mu.Unlock()
		f.set(api+"b/dexclients/other", public) // which ends all watches
		time.Sleep(refusedFor / 2)
		if !uses("a.app") || !uses("b.app") || !uses("b.other") {
			t.Errorf("soon after: %v %v %v", uses("a.app"), uses("b.app"), uses("b.other"))
		}
		if troubles := w.Troubles(); len(troubles) != 1 || troubles[0].Namespace != "a" {
			t.Errorf("troubles: %+v", troubles)
		}
		time.Sleep(refusedFor)
		if uses("a.app") || !uses("b.app") {
			t.Errorf("later: %v %v", uses("a.app"), uses("b.app"))
		}
		f.mu.Lock()
		delete(f.refuse, "/a/dexclients")
		f.mu.Unlock()
		time.Sleep(2 * longestPause)
		if !uses("a.app") || len(w.Troubles()) != 0 {
			t.Errorf("when the right is there again: %v, %+v", uses("a.app"), w.Troubles())
		}
	})
}

func TestHoldersAreForgotten(t *testing.T) {
	t.Parallel()
	w := New(Config{Namespace: "dex"})
	for _, c := range []claim{{clients, "a"}, {clients, "b"}, {users, "a"}} {
		w.holders[c] = holder{}
	}
	w.Forget(store.Change{Kind: "code"})
	w.Forget(store.Change{Kind: "client", Key: "a"})
	if len(w.holders) != 2 {
		t.Errorf("%v", w.holders)
	}
	w.Forget(store.Change{Kind: "client"})
	if _, ok := w.holders[claim{users, "a"}]; len(w.holders) != 1 || !ok {
		t.Errorf("%v", w.holders)
	}
	w.Forget(store.Change{})
	if len(w.holders) != 0 {
		t.Errorf("%v", w.holders)
	}
}
