package postgres

import (
	"fmt"
	"testing"

	"dex/internal/faulttest"
)

// Of a list of hosts with their ports, the whole was taken for one name.
var _ = faulttest.Add("O14", func(t *testing.T) {
	c := newConfig(t)
	port := c.Port
	for _, hosts := range []string{
		fmt.Sprintf("127.0.0.1:1,127.0.0.1:%d", port),
		fmt.Sprintf("127.0.0.1:%d, 127.0.0.1:1", port),
		fmt.Sprintf("127.0.0.1:1,127.0.0.1:%d,127.0.0.1", port),
		fmt.Sprintf("127.0.0.1:1,%s", server.SocketDir), // the port of those that name none
	} {
		c.Host, c.Port = hosts, port
		create(t, open(t, c), "client", hosts)
	}
})
