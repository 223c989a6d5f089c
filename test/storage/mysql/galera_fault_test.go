package mysql_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/mysql"
	"dex/internal/store/storetest"
	"dex/test/servers"
)

// startGalera starts a cluster, and returns a function that makes a fresh database and returns how to reach it at two nodes.
func startGalera(t *testing.T) (g *servers.Galera, database func(t *testing.T) (a, b mysql.Config)) {
	t.Helper()
	g, err := servers.StartGalera(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, func(t *testing.T) (a, b mysql.Config) {
		t.Helper()
		nodes, err := g.NewDatabase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		configs := make([]mysql.Config, len(nodes))
		for i, db := range nodes {
			configs[i] = mysql.Config{
				Host: db.Host, Port: uint16(db.Port), Database: db.Name, User: db.User, Password: db.Password,
				SSL: mysql.SSL{Mode: "false"},
			}
		}
		return configs[0], configs[1]
	}
}

// A code written at one node of a Galera cluster had not arrived yet at another, where the application redeemed it.
var _ = faulttest.Add("O12", func(t *testing.T) {
	cluster, database := startGalera(t)
	t.Run("two nodes keep the contract", func(t *testing.T) {
		first, second := database(t)
		storetest.RunShared(t, func(t *testing.T) (a, b store.Store) { return open(t, first), open(t, second) })
	})
	t.Run("many replicas start at once", func(t *testing.T) {
		first, second := database(t)
		var starting sync.WaitGroup
		for range 4 {
			starting.Go(func() { open(t, first) })
			starting.Go(func() { open(t, second) })
		}
		starting.Wait()
	})
	t.Run("a node that is behind", func(t *testing.T) {
		first, second := database(t)
		testNodeThatIsBehind(t, cluster.Nodes[1], open(t, first), open(t, second))
	})
	t.Run("writes of the same records at two nodes", func(t *testing.T) {
		first, second := database(t)
		testContendedWrites(t, open(t, first), open(t, second))
	})
	t.Run("one of several hosts is cut off", func(t *testing.T) {
		first, second := database(t)
		both := second
		both.Host, both.Port = "", 0
		both.Hosts = []string{fmt.Sprintf("127.0.0.1:%d", second.Port), fmt.Sprintf("127.0.0.1:%d", first.Port)}
		s := open(t, both)
		create(t, s, store.Record{Kind: "refresh", Key: "before"})
		isolate(t, cluster.Nodes[1], 1)
		defer wantState(t, cluster.Nodes[1], "ON")
		defer isolate(t, cluster.Nodes[1], 0)
		wantState(t, cluster.Nodes[1], "OFF")
		create(t, s, store.Record{Kind: "refresh", Key: "meanwhile"})
		wantData(t, open(t, first), "refresh", "meanwhile", "")
	})
	t.Run("a node that is cut off", func(t *testing.T) {
		first, second := database(t)
		testNodeThatIsCutOff(t, cluster.Nodes[1], open(t, first), open(t, second))
	})
})

// testNodeThatIsBehind keeps a node from applying others' writes for a while, and queries it meanwhile.
func testNodeThatIsBehind(t *testing.T, node *servers.MariaDB, ahead, behind store.Store) {
	kept := create(t, ahead, store.Record{Kind: "refresh", Key: "kept", Data: []byte("old")})
	gone := create(t, ahead, store.Record{Kind: storetest.Quiet.Name(), Key: "gone"})
	if _, err := behind.Get(store.Latest(t.Context()), "refresh", "kept"); err != nil {
		t.Fatal(err)
	}
	create(t, behind, store.Record{Kind: "refresh", Key: "warm"}) // prepares connections of both kinds
	lock, err := node.Admin().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if _, err := lock.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK"); err != nil {
		t.Fatal(err)
	}
	create(t, ahead, store.Record{Kind: storetest.Quiet.Name(), Key: "new", Data: []byte("data")})
	kept.Data = []byte("new")
	if kept.Revision, err = ahead.Replace(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if err := ahead.Delete(t.Context(), storetest.Quiet.Name(), "gone", gone.Revision); err != nil {
		t.Fatal(err)
	}
	if r, err := behind.Get(t.Context(), "refresh", "kept"); err != nil || string(r.Data) != "old" {
		t.Fatalf("the node is not behind: %q, %v", r.Data, err)
	}
	var asking sync.WaitGroup
	asking.Go(func() {
		if _, err := behind.Get(t.Context(), storetest.Quiet.Name(), "new"); err != nil {
			t.Errorf("Get of what another node took: %v", err)
		}
	})
	asking.Go(func() {
		if r, err := behind.Get(store.Latest(t.Context()), "refresh", "kept"); err != nil || string(r.Data) != "new" {
			t.Errorf("Get with Latest: %q, %v", r.Data, err)
		}
	})
	asking.Go(func() {
		if page, err := behind.List(t.Context(), storetest.Quiet.Name(), store.Query{}); err != nil || len(page) != 1 {
			t.Errorf("List of what another node took: %d records, %v", len(page), err)
		}
	})
	time.Sleep(200 * time.Millisecond) // operations that don't wait have answered by now
	if _, err := lock.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	kept.Data = []byte("newest")
	if _, err := behind.Replace(t.Context(), kept); err != nil {
		t.Errorf("Replace of what another node took: %v", err)
	}
	if _, err := behind.Create(t.Context(), store.Record{Kind: storetest.Quiet.Name(), Key: "gone"}); err != nil {
		t.Errorf("Create of what another node removed: %v", err)
	}
}

// testContendedWrites has two nodes increment the same record, which makes certifications fail.
func testContendedWrites(t *testing.T, stores ...store.Store) {
	type counter struct{ N int }
	// An announced kind is written in a transaction, which the server doesn't retry by itself.
	kind := store.Declare(store.Declaration[counter]{Name: "counter" + rand.Text()})
	if _, err := store.In(stores[0], kind).Create(t.Context(), "a", counter{}); err != nil {
		t.Fatal(err)
	}
	const each = 25
	var counting sync.WaitGroup
	for _, s := range stores {
		for range 2 {
			counting.Go(func() {
				for range each {
					_, err := store.In(s, kind).Update(t.Context(), "a", func(c *counter) error { c.N++; return nil })
					if err != nil {
						t.Errorf("Update: %v", err)
						return
					}
				}
			})
		}
	}
	counting.Wait()
	for i, s := range stores {
		e, err := store.In(s, kind).Get(store.Latest(t.Context()), "a")
		if want := 2 * each * len(stores); err != nil || e.Value.N != want {
			t.Errorf("store %d: counted %d, %v; want %d", i, e.Value.N, err, want)
		}
	}
}

// testNodeThatIsCutOff isolates a node from its cluster, and lets it come back while it is queried.
func testNodeThatIsCutOff(t *testing.T, node *servers.MariaDB, other, cut store.Store) {
	create(t, other, store.Record{Kind: "refresh", Key: "a", Data: []byte("data")})
	wantData(t, cut, "refresh", "a", "data")
	isolate(t, node, 1)
	defer isolate(t, node, 0)
	wantState(t, node, "OFF")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := cut.Ping(ctx); err == nil {
		t.Error("a node that is cut off answers")
	}
	written := make(chan error)
	go func() {
		_, err := cut.Create(context.Background(), store.Record{Kind: "refresh", Key: "b", Data: []byte("late")})
		written <- err
	}()
	isolate(t, node, 0)
	if err := <-written; err != nil {
		t.Errorf("Create at a node that came back: %v", err)
	}
	wantData(t, other, "refresh", "b", "late")
}

// isolate cuts a node off from its cluster (1), or reconnects it (0).
func isolate(t *testing.T, node *servers.MariaDB, mode int) {
	t.Helper()
	text := fmt.Sprintf("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=%d'", mode)
	if err := node.Exec(context.Background(), text); err != nil {
		t.Fatal(err)
	}
}

// wantState waits until a node works ("ON"), or knows that it is cut off ("OFF").
func wantState(t *testing.T, node *servers.MariaDB, want string) {
	t.Helper()
	within(t, patience, "the node is "+want, func() bool {
		var name, state string
		err := node.Admin().QueryRowContext(context.Background(), "SHOW STATUS LIKE 'wsrep_ready'").Scan(&name, &state)
		return err == nil && state == want
	})
}
