package etcd_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/etcd"
	"dex/internal/store/storetest"
	"dex/test/servers"
)

// refused opens a store, which must fail with an error that contains the words but no password.
func refused(t *testing.T, config etcd.Config, words ...string) {
	t.Helper()
	s, err := etcd.Open(t.Context(), config, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = s.Close()
		t.Error("Open succeeded")
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got error %q, want one with %q", err, word)
		}
	}
	if config.Password != "" && strings.Contains(err.Error(), config.Password) {
		t.Errorf("the error %q tells the password", err)
	}
}

// idle returns a local address where nothing listens.
func idle(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	a, b := idle(t), idle(t)
	for name, config := range map[string]etcd.Config{
		"Plain":    {Endpoints: []string{a, b}},
		"Password": {Endpoints: []string{a, b}, Username: "dex", Password: "open-sesame"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, config, "http://"+a, "http://"+b, "refused")
		})
	}
	t.Run("Silent", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections, but sends nothing
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		begun := time.Now()
		refused(t, etcd.Config{Endpoints: []string{l.Addr().String()}}, l.Addr().String(), "does not answer")
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("OneOfTwoIsEnough", func(t *testing.T) {
		t.Parallel()
		config := fresh(t, plain)
		config.Endpoints = append([]string{"http://" + a}, config.Endpoints...)
		s := open(t, config)
		for range 10 {
			create(t, s, store.Record{Kind: "client", Key: time.Now().String()})
		}
	})
	t.Run("Mistakes", func(t *testing.T) {
		t.Parallel()
		refused(t, etcd.Config{Endpoints: []string{"127.0.0.1"}}, "endpoints[0]", "port")
	})
}

func TestSecured(t *testing.T) {
	t.Parallel()
	server := start(t, servers.EtcdTLS, servers.EtcdAuth)
	good := fresh(t, server)
	t.Run("Shared", func(t *testing.T) {
		storetest.RunShared(t, func(t *testing.T) (a, b store.Store) { return open(t, good), open(t, good) })
	})
	t.Run("ServerName", func(t *testing.T) {
		config := good
		config.SSL.ServerName = "etcd.example"
		create(t, open(t, config), store.Record{Kind: "client", Key: "name"})
	})
	t.Run("WithoutScheme", func(t *testing.T) {
		config := good
		config.Endpoints = []string{strings.TrimPrefix(good.Endpoints[0], "https://")}
		create(t, open(t, config), store.Record{Kind: "client", Key: "scheme"})
	})
	stranger := certificateOfAStranger(t)
	for name, c := range map[string]struct {
		change func(*etcd.Config)
		want   string
	}{
		"WrongServerName":    {func(c *etcd.Config) { c.SSL.ServerName = "other.example" }, "other.example"},
		"UnknownAuthority":   {func(c *etcd.Config) { c.SSL.CAFile = stranger }, "unknown authority"},
		"SystemsAuthorities": {func(c *etcd.Config) { c.SSL.CAFile = "" }, "unknown authority"},
		"NoCertificate":      {func(c *etcd.Config) { c.SSL.CertFile, c.SSL.KeyFile = "", "" }, "certificate"},
		"NoCAFile":           {func(c *etcd.Config) { c.SSL.CAFile += ".none" }, "ssl.caFile"},
		"CAFileIsNone":       {func(c *etcd.Config) { c.SSL.CAFile = c.SSL.KeyFile }, "ssl.caFile"},
		"NoCertFile":         {func(c *etcd.Config) { c.SSL.CertFile += ".none" }, "ssl.certFile"},
		"NoTLS": {func(c *etcd.Config) {
			c.Endpoints = []string{strings.Replace(c.Endpoints[0], "https:", "http:", 1)}
			c.SSL = etcd.SSL{}
		}, "https"},
		"WrongPassword":  {func(c *etcd.Config) { c.Password = "open-sesame" }, "invalid user ID or password"},
		"WrongUser":      {func(c *etcd.Config) { c.Username = "nobody" }, "invalid user ID or password"},
		"OtherNamespace": {func(c *etcd.Config) { c.Namespace = "/other/" }, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := good
			c.change(&config)
			refused(t, config, c.want)
		})
	}
}

// certificateOfAStranger returns a file with an unknown authority's certificate.
func certificateOfAStranger(t *testing.T) string {
	t.Helper()
	authority, err := servers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(file, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A server forgets the tokens that it gave for a password when it restarts.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]servers.EtcdOption{
		"Plain": nil, "Secured": {servers.EtcdTLS, servers.EtcdAuth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t, options...)
			config := fresh(t, server)
			a, b := open(t, config), open(t, config)
			changes := watch(t, b)
			create(t, a, store.Record{Kind: "client", Key: "before"})
			wantChange(t, changes, store.Change{Kind: "client", Key: "before"})

			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_, err := a.Create(t.Context(), store.Record{Kind: "client", Key: "meanwhile"})
			wantNoAnswer(t, "Create without a server", err)
			_, err = a.Get(t.Context(), "client", "before")
			wantNoAnswer(t, "Get without a server", err)
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("two calls without a server took %v", took)
			}
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}

			eventually(t, "the store works again", func() bool { return a.Ping(t.Context()) == nil })
			if _, err := a.Get(t.Context(), "client", "before"); err != nil {
				t.Errorf("Get: %v", err)
			}
			create(t, a, store.Record{Kind: "client", Key: "after"})
			wantChange(t, changes, store.Change{Kind: "client", Key: "after"})
		})
	}
}

func TestHistoryIsCompactedWhileTheWatchIsCutOff(t *testing.T) {
	t.Parallel()
	config := fresh(t, start(t))
	writer := open(t, config)
	network := through(t, &config)
	changes := watch(t, open(t, config))
	create(t, writer, store.Record{Kind: "client", Key: "before"})
	wantChange(t, changes, store.Change{Kind: "client", Key: "before"})

	network.set(true, false)
	network.cut()
	create(t, writer, store.Record{Kind: "client", Key: "lost"}, store.Record{Kind: "client", Key: "last"})
	client, _ := writer.Upstream()
	now, err := client.Get(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), now.Header.Revision); err != nil {
		t.Fatal(err)
	}
	network.set(false, false)
	wantChange(t, changes, store.Change{}) // stands for missed changes
	create(t, writer, store.Record{Kind: "client", Key: "after"})
	wantChange(t, changes, store.Change{Kind: "client", Key: "after"})
}

func TestWatchLosesNothingWhenItIsCutOff(t *testing.T) {
	t.Parallel()
	config := fresh(t, plain)
	writer := open(t, config)
	network := through(t, &config)
	changes := watch(t, open(t, config))
	network.set(true, false)
	network.cut()
	create(t, writer, store.Record{Kind: "client", Key: "meanwhile"})
	network.set(false, false)
	wantChange(t, changes, store.Change{Kind: "client", Key: "meanwhile"})
}

// A write whose answer is lost may have happened. Its error must not say that another's record was in the way.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	config := fresh(t, plain)
	observer := open(t, config)
	network := through(t, &config)
	s := open(t, config)
	r := store.Record{Kind: "client", Key: "a", Data: []byte("first")}
	steps := []struct {
		name string
		call func(r store.Record) error
		done func(found store.Record, err error) bool
	}{
		{"Create", func(r store.Record) error { _, err := s.Create(t.Context(), r); return err },
			func(found store.Record, err error) bool { return err == nil }},
		{"Replace", func(r store.Record) error { _, err := s.Replace(t.Context(), r); return err },
			func(found store.Record, err error) bool { return err == nil && string(found.Data) == "second" }},
		{"Delete", func(r store.Record) error { return s.Delete(t.Context(), r.Kind, r.Key, "") },
			func(found store.Record, err error) bool { return errors.Is(err, store.ErrNotFound) }},
	}
	for _, step := range steps {
		eventually(t, "the store works", func() bool { return s.Ping(t.Context()) == nil })
		network.set(false, true)
		failure, given := make(chan error), r
		go func() { failure <- step.call(given) }()
		eventually(t, step.name+" was done", func() bool {
			found, err := observer.Get(t.Context(), r.Kind, r.Key)
			r.Revision, r.Data = found.Revision, []byte("second")
			return step.done(found, err)
		})
		network.cut()
		wantNoAnswer(t, step.name, <-failure)
		network.set(false, false)
	}
}

// A store must not return what it remembers from before its own write, however long the cluster takes to announce the change.
func TestOwnChangesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, fresh(t, plain))
	changes := watch(t, s)
	told := func(what string) {
		t.Helper()
		select {
		case c := <-changes:
			if c != (store.Change{Kind: "client", Key: "a"}) {
				t.Errorf("%s: told of %+v", what, c)
			}
		default:
			t.Errorf("%s: nothing was told", what)
		}
		select {
		case <-changes: // the cluster announces it too
		case <-time.After(patience):
			t.Errorf("%s: the cluster has told nothing", what)
		}
	}
	r := store.Record{Kind: "client", Key: "a"}
	r.Revision = create(t, s, r)
	told("Create")
	if _, err := s.Replace(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	told("Replace")
	if err := s.Delete(t.Context(), "client", "a", ""); err != nil {
		t.Fatal(err)
	}
	told("Delete")
}
