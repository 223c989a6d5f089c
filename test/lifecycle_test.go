package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
)

// TestSignalDrains shows that after a signal the server answers requests that it has begun to read, accepts no new ones,
// tells probes, and ends with status 0.
func TestSignalDrains(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			d := startDex(t, newConfiguration(t).withoutConsent())
			request := beginTokenRequest(t, d)
			d.signal(t, s)
			eventually(t, patience, "new connections are refused", func() bool {
				conn, err := net.Dial("tcp", request.conn.RemoteAddr().String())
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			})
			if status, _ := d.fetch(t, d.telemetry+"/healthz/ready"); status != http.StatusServiceUnavailable {
				t.Errorf("while it drains, /healthz/ready answers %d, want 503", status)
			}
			if status, body := request.finish(t); status != http.StatusOK || !strings.Contains(body, "access_token") {
				t.Errorf("the request in progress gets status %d", status)
			}
			d.wantStatus(t, 0)
			if !strings.Contains(d.log.String(), "shutdown now") {
				t.Error("the log does not say that the server ended in good order")
			}
		})
	}
}

// A halfRequest is a token request whose handler waits for the rest of the body.
type halfRequest struct {
	conn    net.Conn
	answers *bufio.Reader
	rest    string
}

// beginTokenRequest sends a request to redeem a code, but only half of its body.
func beginTokenRequest(t *testing.T, d *dex) *halfRequest {
	t.Helper()
	answer, err := newVisitor(d.transport).signIn(t.Context(), d.authURL("/auth/mock", nil))
	if err != nil {
		t.Fatal(err)
	}
	body := url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.Get("code")}, "redirect_uri": {callbackURL},
		"client_id": {clientID}, "client_secret": {clientSecret},
	}.Encode()
	endpoint, err := url.Parse(d.endpoint("/token"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", endpoint.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// The server sends 100 when the handler begins to read the body.
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", endpoint.Path, endpoint.Host, len(body))
	if err != nil {
		t.Fatal(err)
	}
	r := &halfRequest{conn: conn, answers: bufio.NewReader(conn), rest: body[len(body)/2:]}
	if line, err := r.answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the server says %q, %v, want 100 Continue", line, err)
	}
	if _, err := io.WriteString(conn, body[:len(body)/2]); err != nil {
		t.Fatal(err)
	}
	return r
}

// finish sends the rest and returns the answer.
func (r *halfRequest) finish(t *testing.T) (status int, body string) {
	t.Helper()
	if _, err := io.WriteString(r.conn, r.rest); err != nil {
		t.Fatal(err)
	}
	if _, err := r.answers.ReadString('\n'); err != nil { // the empty line after 100 Continue
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r.answers, nil)
	if err != nil {
		t.Fatalf("answer to the request in progress: %v", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
