package rest

import "testing"

// The audit and the log have the address of a caller, and none for one at a Unix socket.
func TestAddressOfACaller(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234": "192.0.2.1", "[2001:db8::1]:1234": "2001:db8::1", "[2001:db8::1]": "2001:db8::1", "@": "", "@abstract": "", "": "",
	} {
		if got := hostOf(remote); got != want {
			t.Errorf("%q: got %q, want %q", remote, got, want)
		}
	}
}
