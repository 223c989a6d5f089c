package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/test/servers"
)

const (
	crowdOfPeople   = 50_000 // in the directory
	loginsAtOnce    = 500
	mostConnections = 16 // the connector's default
)

// manyPeople returns many users. The first of them, who log in, are in a group.
func manyPeople() string {
	var all strings.Builder
	var members []string
	for i := range crowdOfPeople {
		uid := uidOf(i)
		all.WriteString(ldapPerson("uid="+uid+","+ldapPeople, uid))
		if i < loginsAtOnce {
			members = append(members, "uid="+uid+","+ldapPeople)
		}
	}
	all.WriteString(ldapGroup("early", members...))
	return all.String()
}

func uidOf(i int) string { return fmt.Sprintf("user%d", i) }

// TestManyLoginsAtOnce lets 500 people log in at the same time, each with their own browser, from a directory of 50,000. It is
// not parallel, because it uses the whole machine.
func TestManyLoginsAtOnce(t *testing.T) {
	people := manyPeople()
	first := startSlapd(t, servers.SlapdOptions{LDIF: people})
	second := startSlapd(t, servers.SlapdOptions{LDIF: people})

	t.Run("S2-02 one server", func(t *testing.T) {
		d := startServer(t, binaries.release, loadConfiguration(t, first), nil)
		most := watchConnections(t, first)
		d.loginAll(t, nil)
		if n := most(); n > mostConnections || n == 0 {
			t.Errorf("%d connections to the directory at once, want 1 to %d", n, mostConnections)
		} else {
			t.Logf("%d connections to the directory at once", n)
		}
	})
	t.Run("S2-02 one of two servers is killed", func(t *testing.T) {
		d := startServer(t, binaries.release, loadConfiguration(t, first, second), nil)
		most := watchConnections(t, first, second)
		var done atomic.Int32
		d.loginAll(t, func() {
			if done.Add(1) == loginsAtOnce/5 {
				first.Kill()
			}
		})
		if n := most(); n > mostConnections {
			t.Errorf("%d connections to the directory at once, more than %d", n, mostConnections)
		}
		if connections(t, second) == 0 {
			t.Error("the second server was never used")
		}
	})
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func loadConfiguration(t *testing.T, all ...*servers.Slapd) *configuration {
	t.Helper()
	var hosts []string
	for _, s := range all {
		hosts = append(hosts, s.TLSAddress)
	}
	connector := ldapConnector("ldap", all[0], section{"hosts": hosts[1:], "rootCA": bundle(t, all...)})
	return newConfiguration(t).withoutConsent().with("connectors", []section{connector})
}

// bundle writes servers' authorities into one file.
func bundle(t *testing.T, all ...*servers.Slapd) string {
	t.Helper()
	var pem strings.Builder
	for _, s := range all {
		pem.Write(s.Authority.PEM)
	}
	return writeFile(t, t.TempDir(), "ca.pem", pem.String())
}

// loginAll logs everybody in at once, and expects nobody to fail. After each login it calls done, if that isn't nil.
func (d *dex) loginAll(t *testing.T, done func()) {
	t.Helper()
	began := time.Now()
	everybody, ctx := errgroup.WithContext(t.Context())
	for i := range loginsAtOnce {
		everybody.Go(func() error {
			if err := d.loginOne(ctx, uidOf(i)); err != nil {
				return fmt.Errorf("%s: %w", uidOf(i), err)
			}
			if done != nil {
				done()
			}
			return nil
		})
	}
	if err := everybody.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d logins took %v", loginsAtOnce, time.Since(began).Round(time.Millisecond))
}

// loginOne logs a user in, and checks the identity.
func (d *dex) loginOne(ctx context.Context, uid string) error {
	v := newVisitor(d.transport)
	v.http.Timeout = 2 * patience // with 499 others
	form, err := v.get(ctx, d.authURL("/auth/ldap", nil))
	if err != nil {
		return err
	}
	p, err := v.enterPassword(ctx, form, uid, passwordOf(uid))
	if err != nil {
		return err
	}
	if p.answer.Get("code") == "" {
		return fmt.Errorf("the login ends with status %d at %s: %s", p.status, p.url.Path, visibleText(p))
	}
	tokens, err := d.redeem(ctx, p.answer.Get("code"))
	if err != nil {
		return err
	}
	if tokens.status != http.StatusOK {
		return fmt.Errorf("the code gives status %d, error %q", tokens.status, tokens.Error)
	}
	return nil
}

// watchConnections counts the connections to each server until the returned function is called, which returns the highest
// number that one of them had.
func watchConnections(t *testing.T, all ...*servers.Slapd) (most func() int) {
	t.Helper()
	var highest int
	before := make([]map[string]bool, len(all))
	var watching sync.WaitGroup
	end := make(chan struct{})
	watching.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			for i, s := range all {
				open, err := s.Connections()
				if err != nil {
					t.Errorf("count connections: %v", err)
				}
				both := 0
				for other := range open {
					if before[i][other] {
						both++
					}
				}
				before[i], highest = open, max(highest, both)
			}
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	return func() int {
		close(end)
		watching.Wait()
		return highest
	}
}
