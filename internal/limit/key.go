package limit

import (
	"dex/internal/telemetry"
)

// networks are those around an IPv6 address that tries are counted by. Providers give a subscriber a /64, a /56 or a /48,
// and nobody can tell which: so each has a bucket, and a wider network, where more people may be, a wider one.
var networks = [...]struct{ bits, weight int }{{64, 1}, {56, 4}, {48, 16}}

// A Key is what tries are counted by: a bucket, or several, each of which must have a try left.
type Key struct {
	limiter *Limiter
	parts   [len(networks)]part
}

// A part of a key is one bucket, and how many times as wide it is as the limiter's rate; 0 for none.
type part struct {
	id     id
	weight int
}

// Key returns the key of an address and of what is tried there. What is no address, as on a Unix socket, is one for all.
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
