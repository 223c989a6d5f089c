package outbound_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"dex/internal/outbound"
)

func TestGuardKnowsAddresses(t *testing.T) {
	const yes, operator, excepted, no = "public", "operator's", "excepted", "never"
	some := []string{"10.1.0.0/16", "192.168.7.7", "fd12::/16", "inside.test", "*.corp.test", "169.254.0.0/16", "::1"}
	for host, want := range map[string]string{
		"8.8.8.8": yes, "[2606:4700::1111]": yes, "2606:4700::1111": yes, "app.example.net": yes, "::ffff:8.8.8.8": yes,
		"64:ff9b::808:808": yes, "2002:808:808::1": yes, "app.example.net.": yes, "1.example.net": yes,

		"127.0.0.1": operator, "127.255.255.254": operator, "10.0.0.1": operator, "172.31.0.1": operator, "192.168.1.1": operator,
		"100.64.0.1": operator, "192.0.2.1": operator, "198.51.100.1": operator, "203.0.113.9": operator, "198.19.0.1": operator,
		"192.0.0.192": operator, "192.88.99.1": operator, "240.0.0.1": operator, "fc00::1": operator, "fd00:ec2::254": operator,
		"fec0::1": operator, "2001:db8::1": operator, "3fff::1": operator, "2001::1": operator, "100::1": operator, "5f00::1": operator,
		"::ffff:127.0.0.1": operator, "::ffff:a00:1": operator, "64:ff9b::7f00:1": operator, "64:ff9b:1::808:808": operator,
		"2002:7f00:1::": operator, "2002:a00:1::5": operator, "::808:808": operator, "localhost": operator, "LOCALHOST.": operator,
		"a.localhost": operator, "11.1.0.0.localhost": operator,

		"10.1.2.3": excepted, "::ffff:10.1.2.3": excepted, "64:ff9b::a01:203": excepted, "192.168.7.7": excepted, "fd12::9": excepted,
		"::1": excepted,

		"169.254.169.254": no, "::ffff:169.254.169.254": no, "::ffff:a9fe:a9fe": no, "64:ff9b::a9fe:a9fe": no, "2002:a9fe:a9fe::1": no,
		"64:ff9b:1::a9fe:a9fe": no, "::a9fe:a9fe": no, "fe80::1": no, "fe80::1%eth0": no, "febf::1": no, "0.0.0.0": no, "0.1.2.3": no,
		"::": no, "224.0.0.1": no, "239.255.255.250": no, "ff02::1": no, "255.255.255.255": no,
		"": no, "127.1": no, "2130706433": no, "0x7f000001": no, "0x7f.0.0.1": no, "0177.0.0.1": no, "127.0.0.01": no, "1.2.3.4.5": no,
		"127.0.0.0x1": no,
	} {
		t.Run(host, func(t *testing.T) {
			for _, c := range []struct {
				name  string
				guard *outbound.Guard
				may   bool
			}{
				{"others'", outbound.NewGuard(nil), want == yes},
				{"others', with exceptions", outbound.NewGuard(some), want == yes || want == excepted},
				{"the operator's", outbound.NewOperatorGuard(), want != no},
			} {
				err := c.guard.Check(host)
				if (err == nil) != c.may || err != nil && !errors.Is(err, outbound.ErrInward) {
					t.Errorf("%s: got %v, want it allowed: %v", c.name, err, c.may)
				}
			}
		})
	}
}

// What counts is the address that is dialled, whatever the name in the URL looks like.
func TestGuardLooksWhenItDials(t *testing.T) {
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	named := "http://app.example.net:" + u.Port()
	for _, c := range []struct {
		name, url string
		guard     *outbound.Guard
		refused   bool
	}{
		{"an address", server.URL, outbound.NewGuard(nil), true},
		{"an excepted address", server.URL, outbound.NewGuard([]string{"127.0.0.1"}), false},
		{"a name", named, outbound.NewGuard(nil), true},
		{"a name of an excepted network", named, outbound.NewGuard([]string{"127.0.0.0/8"}), false},
		{"an excepted name", named, outbound.NewGuard([]string{"App.example.net."}), false},
		{"a name below an excepted one", named, outbound.NewGuard([]string{"*.example.net"}), false},
		{"a name far below", named, outbound.NewGuard([]string{"*.app.example.net", "*.net."}), false},
		{"other names", named, outbound.NewGuard([]string{"*", "*.app.example.net", "example.net", "p.example.net", ""}), true},
		{"the operator's", named, outbound.NewOperatorGuard(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.guard.ResolveWith(resolver(t, "127.0.0.1"))
			before := reached
			answer, err := c.guard.NewClient(5 * time.Second).Get(c.url)
			if (err != nil) != c.refused || (reached > before) == c.refused || err != nil && !errors.Is(err, outbound.ErrInward) {
				t.Fatalf("got %v, and %d requests came", err, reached-before)
			}
			if err == nil {
				_ = answer.Body.Close()
			}
		})
	}
}

// A name that leads outside when somebody looks, and inside when the connection is made, gets nowhere (DNS rebinding).
func TestGuardIsNotFooledByNamesThatChange(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	names := resolver(t, "8.8.8.8", "127.0.0.1")
	if first, err := names.LookupHost(t.Context(), "app.example.net"); err != nil || first[0] != "8.8.8.8" {
		t.Fatalf("got %q, %v", first, err)
	}
	guard := outbound.NewGuard(nil)
	guard.ResolveWith(names)
	for range 2 {
		answer, err := guard.NewClient(5 * time.Second).Get("http://app.example.net:" + u.Port())
		if !errors.Is(err, outbound.ErrInward) {
			t.Errorf("got %v, want it refused", err)
		}
		if err == nil {
			_ = answer.Body.Close()
		}
	}
}

// resolver returns a resolver for which every name has the first address, then the next one; the last one stays.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		question := make([]byte, 512)
		for next := 0; ; {
			n, from, err := server.ReadFrom(question)
			if err != nil {
				return
			}
			end := 12 + bytes.IndexByte(question[12:n], 0) + 5 // of the question (RFC 1035, section 4.1)
			isA := question[end-3] == 1
			answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end]...)
			if isA {
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				answer = append(answer, netip.MustParseAddr(addresses[next]).AsSlice()...)
				next = min(next+1, len(addresses)-1)
			}
			if _, err := server.WriteTo(answer, from); err != nil {
				return
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func TestGuardedClientFollowsNoRedirect(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Error("the redirect was followed")
		}
		http.Redirect(w, r, "/inside", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	client := outbound.NewGuard([]string{"127.0.0.1"}).NewClient(5 * time.Second)
	answer, err := client.Post(server.URL, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusTemporaryRedirect {
		t.Fatalf("got %d, %v; want the redirect itself", answer.StatusCode, err)
	}
}
