package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestOAuth2ProxyManyGroups shows how large the session of somebody in 500 groups is, and what that takes. The numbers are the
// guide's.
func TestOAuth2ProxyManyGroups(t *testing.T) {
	t.Parallel()
	s := startGuardedSite(t, nil)
	flags := []string{
		"--client-id=" + manyClientID, "--scope=openid profile email groups offline_access", "--approval-prompt=auto",
		"--set-xauthrequest",
	}
	t.Run("in cookies", func(t *testing.T) {
		p := s.startProxy(t, append(flags, "--set-authorization-header")...)
		a := s.checkSession(t, p, 20, 30, 80<<10, 100<<10)
		if got := len(a.ask(t, p.url+"/oauth2/auth").header.Get("Authorization")); got < 20<<10 || got > 32<<10 {
			t.Errorf("the header Authorization has %d bytes", got)
		}
	})
	t.Run("without tokens", func(t *testing.T) {
		s.checkSession(t, s.startProxy(t, append(flags, "--session-cookie-minimal")...), 5, 8, 20<<10, 28<<10)
	})
	t.Run("in Redis", func(t *testing.T) {
		redis := startRedis(t)
		flags := append(flags, "--session-store-type=redis", "--redis-connection-url=redis://"+redis, "--cookie-refresh=1s")
		p := s.startProxy(t, flags...)
		a := s.checkSession(t, p, 1, 1, 0, 1<<10)
		a.comeBack(t, p)
		s.checkAtOnce(t, p)
	})
}

// checkSession signs somebody in with all groups, and checks the number and the size of the session's cookies. The browser
// sends them to Dex as well, which is on the same host.
func (s *guardedSite) checkSession(t *testing.T, p *authProxy, fewest, most, smallest, largest int) *arrival {
	t.Helper()
	a := p.mustEnter(t)
	count, size := 0, 0
	for _, c := range a.cookies(t, p) {
		if strings.HasPrefix(c.Name, "_oauth2_proxy") {
			count++
			size += len(c.Name) + len("=") + len(c.Value) + len("; ")
		}
	}
	if count < fewest || count > most || size < smallest || size > largest {
		t.Errorf("the session is %d bytes in %d cookies", size, count)
	}
	if got := len(a.userInfo(t, p).Groups); got != 500 {
		t.Errorf("the session has %d groups", got)
	}
	a.comeBack(t, p)
	a.wantIn(t, p)
	a.ask(t, p.url+"/oauth2/sign_out")
	if hasSession(a.cookies(t, p)) {
		t.Error("after signing out, cookies of the session are left")
	}
	a.comeBack(t, p)
	a.wantIn(t, p)
	return a
}

// startRedis starts a Redis that forgets all, and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	address := freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	r := startProcess(t, "redis", "redis-server", "--bind", host, "--port", port, "--save", "", "--dir", t.TempDir())
	eventually(t, patience, "Redis listens", func() bool {
		if !r.running() {
			t.Fatalf("Redis ended at start:\n%s", r.log)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	return address
}

// TestOAuth2ProxyManyGroupsBehindNginx has the guide's buffers, and nginx's own.
func TestOAuth2ProxyManyGroupsBehindNginx(t *testing.T) {
	t.Parallel()
	t.Run("the guide's buffers", func(t *testing.T) {
		t.Parallel()
		s := startIngressSite(t, manyGroups(), asPrinted)
		redis := startRedis(t)
		for _, flags := range [][]string{
			{"--session-cookie-minimal", "--cookie-refresh=0"},
			{"--session-store-type=redis", "--redis-connection-url=redis://" + redis},
		} {
			p := s.startGuideProxy(t, flags...)
			a := s.enter(t)
			if a.status != http.StatusOK || !strings.Contains(a.body, `<p id="page">/report?week=4</p>`) ||
				!strings.Contains(a.body, manyGroups()[499]) {
				t.Errorf("%v: status %d at %s:\n%.300s", flags, a.status, a.url, a.body)
			}
			p.stop(t)
		}
	})
	t.Run("nginx's buffers", func(t *testing.T) {
		t.Parallel()
		s := startIngressSite(t, manyGroups(), func(block string) string {
			for _, name := range []string{"proxy_buffer_size", "proxy_buffers", "proxy_busy_buffers_size"} {
				block = strings.ReplaceAll(block, "    "+name+" ", "    # ")
			}
			return block
		})
		s.startGuideProxy(t, "--session-cookie-minimal", "--cookie-refresh=0")
		if a := s.enter(t); a.status != http.StatusBadGateway {
			t.Errorf("status %d at %s", a.status, a.url)
		}
	})
}

// enter signs in with a password at the site, on the way to a page of the application.
func (s *ingressSite) enter(t *testing.T) *arrival {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a := &arrival{visitor: newVisitor(newTransport(s.ca.pool()))}
	var err error
	a.page, err = a.visitor.get(ctx, s.url+"/report?week=4")
	if err == nil {
		a.page, err = a.visitor.get(ctx, strings.Replace(a.url.String(), "/dex/auth?", "/dex/auth/local?", 1))
	}
	if err == nil {
		a.page, err = a.visitor.enterPassword(ctx, a.page, adminEmail, adminPassword)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}
