package mysql_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/test/servers"
)

// After a failover, connections to a server that is now a replica must not fail writes that could go elsewhere.
func TestConnectionsToAReplicaAreLeft(t *testing.T) {
	config := newDatabase(t)
	config.MaxOpenConns = 3
	s := open(t, config)
	for _, kind := range []string{"client", "refresh"} { // written in a transaction, and without one
		var all []*sql.Conn
		for range config.MaxOpenConns {
			conn, err := s.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.ExecContext(t.Context(), "SET SESSION TRANSACTION READ ONLY"); err != nil {
				t.Fatal(err)
			}
			all = append(all, conn)
		}
		for _, conn := range all {
			if err := conn.Close(); err != nil { // back into the pool
				t.Fatal(err)
			}
		}
		create(t, s, store.Record{Kind: kind, Key: "a"})
	}
}

// If no other server takes its place, the error says why, without retrying for long.
func TestServerIsReadOnly(t *testing.T) {
	config := newDatabase(t)
	s := open(t, config)
	setGlobal(t, "read_only = 1")
	for _, kind := range []string{"client", "refresh"} {
		_, err := s.Create(t.Context(), store.Record{Kind: kind, Key: "a"})
		if err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("Create: got error %v", err)
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	exec(t, "SET GLOBAL read_only = 0")
	create(t, s, store.Record{Kind: "client", Key: "a"})
}

// Upstream treats negative numbers as database/sql does.
func TestPoolThatKeepsNoConnections(t *testing.T) {
	config := newDatabase(t)
	config.MaxOpenConns, config.MaxIdleConns, config.ConnMaxLifetime = -1, -1, -1
	s := open(t, config)
	for _, key := range []string{"a", "b", "c"} {
		create(t, s, store.Record{Kind: "refresh", Key: key})
	}
	within(t, patience, "no connection is kept", func() bool { return connections(t, config.User) == 0 })
}

// A write whose answer is lost may have happened. Its error must not say that another's record was in the way.
func TestLostAnswer(t *testing.T) {
	// What is sent last: kinds that others watch are written in a transaction.
	for kind, last := range map[string]string{"client": "COMMIT", "refresh": "dex_record"} {
		t.Run(kind, func(t *testing.T) {
			config := newDatabase(t)
			observer := open(t, config)
			relay, err := servers.NewRelay(t.Context(), int(config.Port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = relay.Close() })
			config.Port = uint16(relay.Port)
			s := open(t, config)
			r := store.Record{Kind: kind, Key: "a", Data: []byte("first")}
			for _, step := range []struct {
				name string
				call func(r store.Record) error
				done func(found store.Record, err error) bool
			}{
				{"Create", func(r store.Record) error { _, err := s.Create(t.Context(), r); return err },
					func(_ store.Record, err error) bool { return err == nil }},
				{"Replace", func(r store.Record) error { _, err := s.Replace(t.Context(), r); return err },
					func(found store.Record, err error) bool { return err == nil && string(found.Data) == "second" }},
				{"Delete", func(r store.Record) error { return s.Delete(t.Context(), r.Kind, r.Key, "") },
					func(_ store.Record, err error) bool { return errors.Is(err, store.ErrNotFound) }},
			} {
				within(t, patience, "the store works", func() bool { return s.Ping(t.Context()) == nil })
				relay.MuteAfter(last)
				failure, given := make(chan error), r
				go func() { failure <- step.call(given) }()
				within(t, patience, step.name+" was done", func() bool {
					found, err := observer.Get(t.Context(), r.Kind, r.Key)
					r.Revision, r.Data = found.Revision, []byte("second")
					return step.done(found, err)
				})
				relay.Mute(false)
				relay.Cut()
				err := <-failure
				if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrConflict) {
					t.Errorf("%s: got error %v", step.name, err)
				}
			}
		})
	}
}
