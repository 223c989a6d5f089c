package limit

import (
	"dex/internal/telemetry"
)

// networks are the prefixes of an IPv6 address that attempts are counted by. Providers give a subscriber a /64, a /56 or a
// /48, and nobody can tell which. So each has a bucket, and a wider network, which may hold more people, a wider one.
var networks = [...]struct{ bits, weight int }{{64, 1}, {56, 4}, {48, 16}}

// A Key is what attempts are counted by: one bucket or several, each of which must have an attempt left.
type Key struct {
	limiter *Limiter
	parts   [len(networks)]part
}

// A part of a key is one bucket. Its weight says how many times the limiter's rate it has; 0 for none.
type part struct {
	id     id
	weight int
}

// Key returns the key for an address and what is tried from there. If there is no IP address, as on a Unix socket, all
// callers share a key.
func (l *Limiter) Key(address string, what ...string) Key {
	k := Key{limiter: l}
	last := ""
	for i, n := range networks {
		network := telemetry.Network(address, n.bits)
		if i > 0 && network == last {
			break // IPv4
		}
		k.parts[i], last = part{identify(append([]string{network}, what...)), n.weight}, network
	}
	return k
}
