package etcd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dex/internal/store"
)

// A layout makes keys. All lie below the namespace and "dex/", where no other program has any:
//
//	dex/record/<kind>/<key>                 the record
//	dex/owner/<kind>/<owner>/<key>          an owner's record; no value
//	dex/expires/<kind>/<time>/<key>         a record that expires; the value is its owner
//	dex/changed                             <kind>/<key> that changed last, of the kinds that are announced
//
// Kind and owner are escaped so that they hold no slash and are legible; the key is raw, so that the order of the keys is
// that of their bytes. A record and its entries in the two indexes are always written in one transaction, so they have
// the same revision: an entry whose revision is not that of its record is one that was left behind.
type layout struct {
	prefix string
}

func newLayout(namespace string) layout { return layout{prefix: namespace + "dex/"} }

func (l layout) changed() string { return l.prefix + "changed" }

func (l layout) records(kind string) string { return l.prefix + "record/" + url.PathEscape(kind) + "/" }

func (l layout) record(kind, key string) string { return l.records(kind) + key }

func (l layout) owned(kind, owner string) string {
	return l.prefix + "owner/" + url.PathEscape(kind) + "/" + url.PathEscape(owner) + "/"
}

func (l layout) expiries(kind string) string {
	return l.prefix + "expires/" + url.PathEscape(kind) + "/"
}

// timeDigits is the length of a time in a key.
const timeDigits = 16

// expiriesUntil returns the end of the keys of the records that expire before a time.
func (l layout) expiriesUntil(kind string, ms int64) string {
	return fmt.Sprintf("%s%0*x", l.expiries(kind), timeDigits, sortable(ms))
}

func (l layout) expiry(kind string, ms int64, key string) string {
	return l.expiriesUntil(kind, ms) + "/" + key
}

// keyOfExpiry returns the record's key from what follows the prefix expiries in an entry's key.
func keyOfExpiry(suffix string) (key string, ok bool) {
	if len(suffix) <= timeDigits || suffix[timeDigits] != '/' {
		return "", false
	}
	return suffix[timeDigits+1:], true
}

// entries returns the keys of a record's entries in the indexes.
func (l layout) entries(kind, key string, h header) []string {
	var keys []string
	if h.owner != "" {
		keys = append(keys, l.owned(kind, h.owner)+key)
	}
	if h.expires != never {
		keys = append(keys, l.expiry(kind, h.expires, key))
	}
	return keys
}

// after returns the first key that follows a key of the store below a prefix.
func after(prefix, key string) string {
	if key == "" {
		return prefix
	}
	if len(key) > store.MaxKey {
		key = key[:store.MaxKey] // nothing lies between this and the whole, because no key is longer
	}
	return prefix + key + "\x00"
}

// end returns the first key that follows all keys with a prefix that ends with a slash.
func end(prefix string) string { return clientv3.GetPrefixRangeEnd(prefix) }

func announcement(kind, key string) string { return url.PathEscape(kind) + "/" + key }

// parseAnnouncement returns what stands for everything where it can't tell.
func parseAnnouncement(value string) store.Change {
	escaped, key, ok := strings.Cut(value, "/")
	kind, err := url.PathUnescape(escaped)
	if !ok || err != nil {
		return store.Change{}
	}
	return store.Change{Kind: kind, Key: key}
}

// The value of a record is a header and the document as it is. The header is
//
//	1 byte   version of the layout
//	8 bytes  when the record expires, big endian, so that values compare as their times do
//	1 to 2   length of the owner, varint
//	         the owner
const version = 1

// never is the time of a record that doesn't expire. It is later than every time.
const never = math.MaxInt64

// A header is what the store itself knows of a record.
type header struct {
	expires int64 // Unix time in milliseconds, or never
	owner   string
}

func headerOf(r *store.Record) header {
	h := header{expires: never, owner: r.Owner}
	if !r.Expires.IsZero() {
		h.expires = r.Expires.UnixMilli()
	}
	return h
}

func (h header) live(now int64) bool { return h.expires > now }

// time returns the zero time for a record that doesn't expire.
func (h header) time() time.Time {
	if h.expires == never {
		return time.Time{}
	}
	return time.UnixMilli(h.expires).UTC()
}

// sortable returns a number that sorts, without a sign, as the time does.
func sortable(ms int64) uint64 {
	return uint64(ms) ^ 1<<63 //nolint:gosec // G115: meant to keep the bits
}

func unsortable(n uint64) int64 {
	return int64(n ^ 1<<63) //nolint:gosec // G115: meant to keep the bits
}

// valueFrom returns what is less than the value of every record that expires then or later, and more than that of every
// record that expires earlier.
func valueFrom(ms int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{version}, sortable(ms))
}

func encode(h header, data []byte) string {
	var b strings.Builder
	b.Grow(1 + 8 + binary.MaxVarintLen16 + len(h.owner) + len(data))
	b.Write(valueFrom(h.expires))
	b.Write(binary.AppendUvarint(nil, uint64(len(h.owner))))
	b.WriteString(h.owner)
	b.Write(data)
	return b.String()
}

var errCutOff = errors.New("it is cut off")

func decode(value []byte) (h header, data []byte, err error) {
	if len(value) > 0 && value[0] != version {
		return header{}, nil, fmt.Errorf("its layout has version %d, which this program does not know", value[0])
	}
	if len(value) < 1+8 {
		return header{}, nil, errCutOff
	}
	h.expires = unsortable(binary.BigEndian.Uint64(value[1:]))
	rest := value[1+8:]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) { //nolint:gosec // G115: n is at most the length
		return header{}, nil, errCutOff
	}
	rest = rest[n:]
	return header{expires: h.expires, owner: string(rest[:length])}, rest[length:], nil
}
