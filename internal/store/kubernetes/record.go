package kubernetes

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dex/internal/store"
)

// metadata is what we need of an object's metadata.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               string            `json:"uid,omitempty"`
	ResourceVersion   string            `json:"resourceVersion,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	DeletionTimestamp string            `json:"deletionTimestamp,omitempty"`
	Finalizers        []string          `json:"finalizers,omitempty"`
}

// deleted reports whether somebody deleted the object, and it is there only until a finalizer is done.
func (m *metadata) deleted() bool { return m.DeletionTimestamp != "" }

// ours reports whether the object is one of our own records.
func (m *metadata) ours() bool {
	_, ok := m.Labels[recordLabel]
	return ok
}

// A partial is any object without the rest.
type partial struct {
	Metadata metadata `json:"metadata"`
}

// A recordObject is the object of one of our own records.
type recordObject struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	recordHead
	Record []byte `json:"record"`
	// RecordWrite differs with each write. The server does nothing where a write changes nothing, so that of several
	// equal ones at once each would seem to have won.
	RecordWrite string `json:"recordWrite"`
	// Expiry is upstream's member. Upstream deletes the objects that have expired by it.
	Expiry time.Time `json:"expiry,omitzero"`
}

// A recordHead says which record an object holds. Name and labels are made of it, but don't tell it.
type recordHead struct {
	RecordKind    string    `json:"recordKind"`
	RecordKey     []byte    `json:"recordKey"`
	RecordOwner   []byte    `json:"recordOwner,omitempty"`
	RecordExpires time.Time `json:"recordExpires,omitzero"`
}

// liveAt reports whether the record is there for readers.
func (h *recordHead) liveAt(now time.Time) bool {
	return h.RecordExpires.IsZero() || now.Before(h.RecordExpires)
}

// never is the expiry, for upstream, of what has none: its zero time would be long over.
var never = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// newRecordObject returns the object for one of our own records, to be created at a place or to replace the version
// there.
func newRecordObject(namespace string, at place, r store.Record, version string) (*recordObject, error) {
	if !utf8.ValidString(r.Kind) {
		return nil, errors.New("kind is not UTF-8")
	}
	o := &recordObject{
		APIVersion: groupVersion,
		Kind:       at.resource.kind,
		Metadata: metadata{
			Name: at.name, Namespace: namespace, ResourceVersion: version,
			Labels: map[string]string{recordLabel: kindLabel(r.Kind)},
		},
		recordHead: recordHead{RecordKind: r.Kind, RecordKey: []byte(r.Key), RecordExpires: r.Expires.UTC()},
		Record:     r.Data, RecordWrite: rand.Text(),
	}
	if r.Owner != "" {
		o.RecordOwner = []byte(r.Owner)
		o.Metadata.Labels[ownerLabel] = hash(r.Owner)
	}
	if at.resource.expiring() {
		o.Expiry = never
		if !r.Expires.IsZero() {
			o.Expiry = r.Expires.UTC()
		}
	}
	return o, nil
}

// record returns the record that an object holds.
func (o *recordObject) record() store.Record {
	return store.Record{
		Kind: o.RecordKind, Key: string(o.RecordKey), Owner: string(o.RecordOwner), Expires: o.RecordExpires,
		Revision: revision{o.Metadata.ResourceVersion, o.RecordExpires}.String(),
		Data:     o.Record,
	}
}

// A revision of one of our own records is the version of its object. The expiry goes with it, so that a write knows
// without a read whether the record that it is for is still live.
type revision struct {
	version string
	expires time.Time // zero means never; kept to the millisecond
}

// String returns "version" or "milliseconds.version".
func (r revision) String() string {
	if r.expires.IsZero() {
		return r.version
	}
	return strconv.FormatInt(r.expires.UnixMilli(), 10) + "." + r.version
}

// parseRevision returns false for what String did not make.
func parseRevision(text string) (revision, bool) {
	millis, version, expires := strings.Cut(text, ".")
	if !expires {
		return revision{version: text}, validVersion(text)
	}
	n, err := strconv.ParseInt(millis, 10, 64)
	if err != nil || !validVersion(version) {
		return revision{}, false
	}
	r := revision{version, time.UnixMilli(n)}
	return r, r.String() == text
}

// validVersion reports whether an object can have the resource version. The server would take zero for none at all.
func validVersion(version string) bool {
	n, err := strconv.ParseUint(version, 10, 64)
	return err == nil && n > 0 && n < math.MaxUint64 && strconv.FormatUint(n, 10) == version
}

// checkHead checks that an object holds the record that its name stands for.
func (o *recordObject) checkHead(kind, key string) error {
	if o.RecordKind != kind || string(o.RecordKey) != key {
		return fmt.Errorf("object %s does not hold the record that was asked for, but kind %q, key %q",
			o.Metadata.Name, o.RecordKind, o.RecordKey)
	}
	return nil
}

// A sharedObject is an upstream object with all that it has.
type sharedObject struct {
	metadata metadata
	members  map[string]json.RawMessage // metadata, kind and apiVersion among them
}

// UnmarshalJSON is part of json.Unmarshaler.
func (o *sharedObject) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &o.members); err != nil {
		return err
	}
	if len(o.members["metadata"]) == 0 {
		return errors.New("object without metadata")
	}
	return json.Unmarshal(o.members["metadata"], &o.metadata)
}

// header are the members of each object, which are no part of a document.
var header = []string{"apiVersion", "kind", "metadata"}

// record returns the record that an object is.
func (o *sharedObject) record(kind string, shared *sharedKind) (store.Record, error) {
	key, ok := shared.key(o.metadata.Name, o.members)
	if !ok {
		return store.Record{}, fmt.Errorf("%s %s: its member %s is missing or is not what the name stands for",
			shared.resource.plural, o.metadata.Name, shared.identity)
	}
	document := make(map[string]json.RawMessage, len(o.members))
	for name, value := range o.members {
		document[name] = value
	}
	for _, name := range header {
		delete(document, name)
	}
	data, err := json.Marshal(document)
	if err != nil {
		return store.Record{}, fmt.Errorf("%s %s: %w", shared.resource.plural, o.metadata.Name, err)
	}
	return store.Record{Kind: kind, Key: key, Revision: o.metadata.ResourceVersion, Data: data}, nil
}

// sharedMembers returns the members of a document that is to be stored at a place.
func sharedMembers(at place, r store.Record) (map[string]json.RawMessage, error) {
	if r.Owner != "" || !r.Expires.IsZero() {
		return nil, fmt.Errorf("a %s has neither owner nor expiry", at.resource.kind)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(r.Data, &members) != nil || members == nil {
		return nil, fmt.Errorf("the document of a %s is not a JSON object", at.resource.kind)
	}
	for _, name := range header {
		if _, ok := members[name]; ok {
			return nil, fmt.Errorf("the document of a %s may not have the member %s", at.resource.kind, name)
		}
	}
	if key, ok := at.shared.key(at.name, members); !ok || key != r.Key {
		return nil, fmt.Errorf("the member %s of the document of a %s is not its key", at.shared.identity, at.resource.kind)
	}
	return members, nil
}

// newSharedObject returns the members of an object to be created.
func newSharedObject(namespace string, at place, document map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	meta, err := json.Marshal(metadata{Name: at.name, Namespace: namespace})
	if err != nil {
		return nil, err
	}
	document["apiVersion"] = json.RawMessage(strconv.Quote(groupVersion))
	document["kind"] = json.RawMessage(strconv.Quote(at.resource.kind))
	document["metadata"] = meta
	return document, nil
}

// overlay puts a document into an object. Metadata, and members that our documents don't know, stay.
func (o *sharedObject) overlay(shared *sharedKind, document map[string]json.RawMessage) {
	for _, name := range shared.members {
		delete(o.members, name)
	}
	for name, value := range document {
		o.members[name] = value
	}
}
