package outbound

import "net"

// ResolveWith lets a resolver say what addresses names have.
func (g *Guard) ResolveWith(r *net.Resolver) { g.resolver = r }
