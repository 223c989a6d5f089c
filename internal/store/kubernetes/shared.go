package kubernetes

import (
	"context"
	"errors"

	"dex/internal/kubeapi"
	"dex/internal/store"
)

// getShared reads one of upstream's objects as a record.
func (s *Store) getShared(ctx context.Context, at place, kind, key string) (store.Record, error) {
	_, r, err := s.readShared(ctx, at, kind, key)
	return r, err
}

// readShared returns an object and the record that it is.
func (s *Store) readShared(ctx context.Context, at place, kind, key string) (*sharedObject, store.Record, error) {
	var o sharedObject
	if err := s.read(ctx, at, "", &o); err != nil {
		return nil, store.Record{}, err
	}
	if o.metadata.deleted() {
		return nil, store.Record{}, store.ErrNotFound
	}
	// The name says which key it is, or the record has an error: so this is the one that was asked for.
	r, err := o.record(kind, at.shared)
	return &o, r, err
}

func (s *Store) createShared(ctx context.Context, at place, r store.Record) (string, error) {
	document, err := sharedMembers(at, r)
	if err != nil {
		return "", err
	}
	object, err := newSharedObject(s.client.Namespace(), at, document)
	if err != nil {
		return "", err
	}
	version, err := s.post(ctx, at, object)
	if errors.Is(err, store.ErrExists) {
		return "", s.taken(ctx, at)
	}
	return version, err
}

// taken says why a name is taken: by a record, or by one that is deleted and waits for its finalizers.
func (s *Store) taken(ctx context.Context, at place) error {
	var o partial
	err := s.read(ctx, at, kubeapi.MetadataOnly, &o)
	if err == nil && o.Metadata.deleted() {
		return finalizing(at, &o.Metadata)
	}
	return store.ErrExists // also where it is gone by now: it was there
}

// replaceShared keeps what others have put into the object, and so has to read it.
func (s *Store) replaceShared(ctx context.Context, at place, r store.Record) (string, error) {
	document, err := sharedMembers(at, r)
	if err != nil {
		return "", err
	}
	o, _, err := s.readShared(ctx, at, r.Kind, r.Key)
	if err != nil {
		return "", err
	}
	if o.metadata.ResourceVersion != r.Revision {
		return "", store.ErrConflict
	}
	o.overlay(at.shared, document)
	return s.put(ctx, at, o.members)
}

// deleteShared reads the object first: one that does not say that it is the record must not be deleted for it.
func (s *Store) deleteShared(ctx context.Context, at place, kind, key, revision string) error {
	try := func() error {
		o, _, err := s.readShared(ctx, at, kind, key)
		if err != nil {
			return err
		}
		if revision != "" && revision != o.metadata.ResourceVersion {
			return store.ErrConflict
		}
		return s.remove(ctx, at.resource, at.name, o.metadata.ResourceVersion)
	}
	if revision != "" {
		return try()
	}
	return untilAlone(ctx, at.name, try)
}
