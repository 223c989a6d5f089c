package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"dex/internal/kubeapi"
	"dex/internal/store"
)

// races is how often a write that has to read first begins again because somebody else wrote between.
const races = 30

// read reads the object at a place; store.ErrNotFound when there is none.
func (s *Store) read(ctx context.Context, at place, accept string, v any) error {
	request, err := s.client.Object(http.MethodGet, at.resource.in(s.client), at.name)
	if err != nil {
		return err
	}
	request.Accept, request.Decode = accept, kubeapi.Into(v)
	return found(s.client.Send(ctx, request), at.name)
}

// found turns the answer that an object is not there into store.ErrNotFound.
func found(err error, name string) error {
	if kubeapi.Absent(err, name) {
		return store.ErrNotFound
	}
	return err
}

// strictly has the server refuse members that a definition's schema doesn't have, which it would drop without a word otherwise.
func strictly(request *kubeapi.Request) { request.URL += "?fieldValidation=Strict" }

// put writes the next version of an object, and returns its resource version. It is store.ErrConflict when the one that
// the object names is not the current one.
func (s *Store) put(ctx context.Context, at place, object any) (version string, err error) {
	request, err := s.client.Object(http.MethodPut, at.resource.in(s.client), at.name)
	if err != nil {
		return "", err
	}
	var answer partial
	strictly(&request)
	request.Body, request.Accept, request.Decode = object, kubeapi.MetadataOnly, kubeapi.Into(&answer)
	err = s.client.Send(ctx, request)
	if kubeapi.HasCode(err, http.StatusConflict) {
		return "", store.ErrConflict
	}
	return answer.Metadata.ResourceVersion, found(err, at.name)
}

// post creates an object and returns its resource version; store.ErrExists when the name is taken.
func (s *Store) post(ctx context.Context, at place, object any) (version string, err error) {
	var answer partial
	request := s.client.Create(at.resource.in(s.client), object)
	strictly(&request)
	request.Accept, request.Decode = kubeapi.MetadataOnly, kubeapi.Into(&answer)
	err = s.client.Send(ctx, request)
	if kubeapi.IsTaken(err) {
		return "", store.ErrExists
	}
	return answer.Metadata.ResourceVersion, err
}

// remove deletes a version of an object: store.ErrConflict when it has another one.
func (s *Store) remove(ctx context.Context, r resource, name, version string) error {
	request, err := s.client.Object(http.MethodDelete, r.in(s.client), name)
	if err != nil {
		return err
	}
	if !validVersion(version) {
		return fmt.Errorf("delete %s %s: without a version", r.plural, name)
	}
	request.Body = map[string]any{
		"apiVersion": "v1", "kind": "DeleteOptions",
		"preconditions": map[string]string{"resourceVersion": version},
	}
	err = s.client.Send(ctx, request)
	if kubeapi.HasCode(err, http.StatusConflict) {
		return store.ErrConflict
	}
	return found(err, name)
}

// getOwn reads one of our own records, live or expired.
func (s *Store) getOwn(ctx context.Context, at place, kind, key string) (*recordObject, error) {
	var o recordObject
	if err := s.read(ctx, at, "", &o); err != nil {
		return nil, err
	}
	return &o, o.checkHead(kind, key)
}

// getLive is getOwn without objects that have expired, or are deleted and waiting for a finalizer.
func (s *Store) getLive(ctx context.Context, at place, kind, key string) (*recordObject, error) {
	o, err := s.getOwn(ctx, at, kind, key)
	if err != nil {
		return nil, err
	}
	if o.Metadata.deleted() || !o.liveAt(time.Now()) {
		return nil, store.ErrNotFound
	}
	return o, nil
}

func (s *Store) createOwn(ctx context.Context, at place, r store.Record) (string, error) {
	fresh, err := newRecordObject(s.client.Namespace(), at, r, "")
	if err != nil {
		return "", err
	}
	for lost := 0; ; lost++ {
		version, err := s.post(ctx, at, fresh)
		if errors.Is(err, store.ErrExists) {
			version, err = s.overwriteExpired(ctx, at, r)
		}
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return revision{version, fresh.RecordExpires}.String(), err
		}
		if err := backOff(ctx, lost, "create", at.name); err != nil { // somebody else replaced or swept it
			return "", err
		}
	}
}

// overwriteExpired puts a record where one has expired; store.ErrExists when it is live.
func (s *Store) overwriteExpired(ctx context.Context, at place, r store.Record) (version string, err error) {
	o, err := s.getOwn(ctx, at, r.Kind, r.Key)
	switch {
	case err != nil:
		return "", err
	case o.Metadata.deleted():
		return "", finalizing(at, &o.Metadata)
	case o.liveAt(time.Now()):
		return "", store.ErrExists
	}
	next, err := newRecordObject(s.client.Namespace(), at, r, o.Metadata.ResourceVersion)
	if err != nil {
		return "", err
	}
	return s.put(ctx, at, next)
}

// finalizing says why a name is taken that no record has.
func finalizing(at place, m *metadata) error {
	return fmt.Errorf("%s %s was deleted, but is still there for its finalizers %q", at.resource.plural, m.Name, m.Finalizers)
}

func (s *Store) replaceOwn(ctx context.Context, at place, r store.Record) (string, error) {
	had, ok := parseRevision(r.Revision)
	if !ok || had.over() {
		return "", s.missed(ctx, at, r.Kind, r.Key, r.Revision)
	}
	next, err := newRecordObject(s.client.Namespace(), at, r, had.version)
	if err != nil {
		return "", err
	}
	version, err := s.put(ctx, at, next)
	if err != nil {
		return "", err
	}
	return revision{version, next.RecordExpires}.String(), nil
}

// over reports whether the record has expired.
func (r revision) over() bool { return !r.expires.IsZero() && !time.Now().Before(r.expires) }

// missed says why there is nothing to write with a revision that is no current one, or whose record has expired.
func (s *Store) missed(ctx context.Context, at place, kind, key, revision string) error {
	o, err := s.getLive(ctx, at, kind, key)
	if err != nil {
		return err
	}
	if o.record().Revision == revision { // its last millisecond
		return store.ErrNotFound
	}
	return store.ErrConflict
}

func (s *Store) deleteOwn(ctx context.Context, at place, kind, key, text string) error {
	if text == "" {
		return untilAlone(ctx, at.name, func() error {
			o, err := s.getLive(ctx, at, kind, key)
			if err != nil {
				return err
			}
			return s.remove(ctx, at.resource, at.name, o.Metadata.ResourceVersion)
		})
	}
	had, ok := parseRevision(text)
	if !ok || had.over() {
		return s.missed(ctx, at, kind, key, text)
	}
	return s.remove(ctx, at.resource, at.name, had.version)
}

// untilAlone tries to read and then delete an object until nobody writes between.
func untilAlone(ctx context.Context, name string, try func() error) error {
	for lost := 0; ; lost++ {
		if err := try(); !errors.Is(err, store.ErrConflict) {
			return err
		}
		if err := backOff(ctx, lost, "delete", name); err != nil {
			return err
		}
	}
}

// backOff waits a little at random before a write begins again. It gives up after many lost races.
func backOff(ctx context.Context, lost int, what, name string) error {
	if lost >= races {
		return fmt.Errorf("%s %s: gave up after %d others were faster", what, name, lost)
	}
	limit := min(2*time.Millisecond<<min(lost, 6), 100*time.Millisecond)
	select {
	case <-time.After(rand.N(limit)): //nolint:gosec // jitter, not a secret
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
