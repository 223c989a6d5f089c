package microsoft

import "time"

// Forget makes a connector look up names anew. What they meant is still known.
func Forget(conn any) {
	n := conn.(*connection).names
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, last := range n.known {
		last.until = time.Time{}
		n.known[name] = last
	}
}
