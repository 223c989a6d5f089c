package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"dex/internal/kubeapi"
)

const (
	// secretAge is how long a Secret counts before it is read again.
	secretAge = 30 * time.Second
	// missingAge is the same for one that could not be used, at first; it doubles each time, up to secretAge.
	missingAge = 3 * time.Second
	// secretsTimeout bounds one round of reading.
	secretsTimeout = 5 * time.Second
	// secretReaders is how many are read at once.
	secretReaders = 8
	// maxSecret bounds a value, in bytes: more than any password, key or list of certificates needs.
	maxSecret = 256 << 10
	// maxTenantSecret is the same in other namespaces than Dex's own, which have only client secrets. A thousand of them must fit
	// into the memory.
	maxTenantSecret = 8 << 10
)

// A secretRef names a value in a Secret of the same namespace.
type secretRef struct {
	Name string `key:"name" json:"name"`
	Key  string `key:"key" json:"key"`
}

// A secretID names a Secret.
type secretID struct{ namespace, name string }

// A secret is what is known of a Secret.
type secret struct {
	asked  map[string]bool // the keys that were looked for; no others are kept
	values map[string][]byte
	err    error // why there are no values
	read   time.Time
	missed int // how often in a row it could not be used
}

// secrets are the Secrets that objects refer to. They are read one by one, so that no right to list all of them is needed.
type secrets struct {
	client *kubeapi.Client
	home   string // Dex's own namespace

	mu    sync.Mutex // never held over I/O
	known map[secretID]secret
}

// refresh reads the wanted keys of Secrets where they aren't known or are old, and forgets all others.
func (s *secrets) refresh(ctx context.Context, wanted map[secretID]map[string]bool) {
	ctx, cancel := context.WithTimeout(ctx, secretsTimeout)
	defer cancel()
	var work errgroup.Group
	work.SetLimit(secretReaders)
	for _, d := range s.due(wanted) {
		work.Go(func() error {
			fresh := s.fetch(ctx, d.id, wanted[d.id], d.before)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.known[d.id] = fresh
			return nil
		})
	}
	_ = work.Wait()
}

// A dueSecret is one that is to be read.
type dueSecret struct {
	id     secretID
	before secret
}

// due forgets what isn't wanted, and returns what is to be read: those of Dex's own namespace first, then what was read longest ago.
func (s *secrets) due(wanted map[secretID]map[string]bool) []dueSecret {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.known {
		if wanted[id] == nil {
			delete(s.known, id)
		}
	}
	var due []dueSecret
	for id, keys := range wanted {
		if k, ok := s.known[id]; !ok || k.old(keys) {
			due = append(due, dueSecret{id, k})
		}
	}
	slices.SortFunc(due, func(a, b dueSecret) int {
		if home := a.id.namespace == s.home; home != (b.id.namespace == s.home) {
			if home {
				return -1
			}
			return 1
		}
		return a.before.read.Compare(b.before.read)
	})
	return due
}

// longest returns how long a value in a namespace may be, in bytes.
func (s *secrets) longest(namespace string) int {
	if namespace == s.home {
		return maxSecret
	}
	return maxTenantSecret
}

// old reports whether a Secret has to be read again for some keys.
func (k secret) old(keys map[string]bool) bool {
	for key := range keys {
		if !k.asked[key] {
			return true
		}
	}
	age := secretAge
	if k.missed > 0 {
		age = min(missingAge<<min(k.missed-1, 8), secretAge)
	}
	return time.Since(k.read) > age
}

// Errors of a Secret as a whole.
var (
	errNoSecret  = errors.New("is not there")
	errForbidden = errors.New("can't be read, as Dex's role doesn't allow it; let it get Secrets in this namespace")
	errToken     = errors.New("is the token of a service account, which is for nobody else")
	errAway      = errors.New("can't be read at the moment")
)

// fetch reads a Secret. While the API server is away, what it said before counts.
func (s *secrets) fetch(ctx context.Context, id secretID, keys map[string]bool, before secret) secret {
	fresh := secret{asked: keys, values: map[string][]byte{}, read: time.Now()}
	var body struct {
		Type string            `json:"type"`
		Data map[string][]byte `json:"data"`
	}
	in := kubeapi.Collection{Version: "v1", Namespace: id.namespace, Resource: "secrets"}
	r, err := s.client.Object(http.MethodGet, in, id.name)
	if err == nil {
		r.Decode = kubeapi.Into(&body)
		err = s.client.Send(ctx, r)
	}
	switch {
	case err == nil && body.Type == "kubernetes.io/service-account-token":
		fresh.err = errToken
	case err == nil:
		for key := range keys {
			if value, ok := body.Data[key]; ok { // no more of it than is needed to see that it is too long
				fresh.values[key] = bytes.Clone(value[:min(len(value), s.longest(id.namespace)+1)])
			}
		}
	case errors.Is(err, kubeapi.ErrBadName), kubeapi.Absent(err, id.name):
		fresh.err = errNoSecret
	case kubeapi.HasCode(err, http.StatusForbidden):
		fresh.err = errForbidden
	case len(before.values) > 0:
		if ctx.Err() == nil { // otherwise it may not even have been asked for
			before.read = fresh.read
		}
		return before
	default:
		fresh.err = errAway
	}
	switch {
	case errors.Is(fresh.err, errAway):
		fresh.missed = 1
	case len(fresh.values) < len(keys):
		fresh.missed = before.missed + 1
	}
	return fresh
}

// value returns the value that a reference names. The error has no part of the value.
func (s *secrets) value(namespace string, ref secretRef) ([]byte, error) {
	s.mu.Lock()
	k, ok := s.known[secretID{namespace, ref.Name}]
	s.mu.Unlock()
	if !ok {
		k.err = errAway
	}
	if k.err != nil {
		return nil, fmt.Errorf("the Secret %q %w", ref.Name, k.err)
	}
	value, ok := k.values[ref.Key]
	switch {
	case !ok:
		return nil, fmt.Errorf("the Secret %q has no key %q", ref.Name, ref.Key)
	case len(bytes.TrimSpace(value)) == 0:
		return nil, fmt.Errorf("the key %q of the Secret %q is empty", ref.Key, ref.Name)
	case len(value) > s.longest(namespace):
		return nil, fmt.Errorf("the key %q of the Secret %q has more than %d bytes", ref.Key, ref.Name, s.longest(namespace))
	case !utf8.Valid(value):
		return nil, fmt.Errorf("the key %q of the Secret %q is not text", ref.Key, ref.Name)
	}
	return value, nil
}

// secretKeys are the settings of connectors whose values may come from a Secret. They are those whose values appear in no message,
// no log line and no address: through any other, whoever may write a connector could read Secrets. Those whose names end in Data
// are files, which settings have in base64.
var secretKeys = []string{
	"clientSecret", "bindPW", "password", "secret", "keystonePassword", "applicationCredentialSecret",
	"clientKeyData", "clientCertData", "rootCAData", "caData",
}

// refOf returns the reference that a setting consists of.
func refOf(setting any) (secretRef, bool) {
	m, ok := setting.(map[string]any)
	if !ok || len(m) != 1 || m["secretRef"] == nil {
		return secretRef{}, false
	}
	return decodeRef(m["secretRef"])
}

func decodeRef(value any) (ref secretRef, ok bool) {
	text, err := json.Marshal(value)
	return ref, err == nil && json.Unmarshal(text, &ref) == nil
}

// refs returns the values of Secrets that a spec names.
func (o *object) refs() []secretRef {
	var spec map[string]any
	if json.Unmarshal(o.Spec, &spec) != nil {
		return nil
	}
	var found []secretRef
	for _, member := range []string{"secretRef", "previousSecretRef"} {
		if ref, ok := decodeRef(spec[member]); ok && ref.Name != "" {
			found = append(found, ref)
		}
	}
	settings, _ := spec["config"].(map[string]any)
	for key, setting := range settings {
		if ref, ok := refOf(setting); ok && slices.Contains(secretKeys, key) {
			found = append(found, ref)
		}
	}
	return found
}
