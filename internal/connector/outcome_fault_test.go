package connector_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// A file that is missing was told as a failure of the network.
var _ = faulttest.Add("C-14", func(t *testing.T) {
	_, missing := os.ReadFile(filepath.Join(t.TempDir(), "keytab"))
	_, noServer := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	for name, c := range map[string]struct {
		err  error
		want connector.Outcome
	}{
		"missing":         {fmt.Errorf("kerberos: %w", missing), connector.Broken},
		"missing, joined": {errors.Join(fmt.Errorf("kerberos: %w", missing), nil), connector.Broken},
		"not allowed":     {&os.PathError{Op: "open", Path: "ca.pem", Err: syscall.EACCES}, connector.Broken},
		"refused":         {fmt.Errorf("ask: %w", noServer), connector.Unavailable},
		"reset":           {syscall.ECONNRESET, connector.Unavailable},
		"name":            {&net.DNSError{Name: "ldap.test", IsNotFound: true}, connector.Unavailable},
	} {
		if got := connector.OutcomeOf(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
})
