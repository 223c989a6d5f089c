package postgres

import (
	"fmt"
	"testing"

	"dex/internal/faulttest"
)

// A list of hosts with ports was taken for one name.
var _ = faulttest.Add("O14", func(t *testing.T) {
	c := newConfig(t)
	port := c.Port
	for _, hosts := range []string{
		fmt.Sprintf("127.0.0.1:1,127.0.0.1:%d", port),
		fmt.Sprintf("127.0.0.1:%d, 127.0.0.1:1", port),
		fmt.Sprintf("127.0.0.1:1,127.0.0.1:%d,127.0.0.1", port),
		fmt.Sprintf("127.0.0.1:1,%s", server.SocketDir), // the default port
	} {
		c.Host, c.Port = hosts, port
		create(t, open(t, c), "client", hosts)
	}
})
