package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// galeraLibrary is the replication library from Debian's package galera-4.
const galeraLibrary = "/usr/lib/galera/libgalera_smm.so"

// galeraNodes is the smallest number of which one may fail.
const galeraNodes = 3

// Galera is a cluster of MariaDB servers, each of which may be written to.
type Galera struct {
	Nodes []*MariaDB
}

// A galeraNode is a server's place in a cluster.
type galeraNode struct {
	first              bool
	address            string   // for replication
	others             []string // all nodes' addresses
	transfer, snapshot string   // where it receives what it has missed: changes, or everything
}

// StartGalera makes a cluster of three servers. Its ports may be taken before it listens at them, as it listens at some only when a
// node is copied; so it has a few tries.
func StartGalera(ctx context.Context) (g *Galera, err error) {
	for range 3 {
		if g, err = startGalera(ctx); err == nil {
			break
		}
	}
	return g, err
}

func startGalera(ctx context.Context) (*Galera, error) {
	var places []*galeraNode
	var addresses []string
	for i := range galeraNodes {
		n := &galeraNode{first: i == 0}
		for _, address := range []*string{&n.address, &n.transfer, &n.snapshot} {
			port, err := freePort(ctx)
			if err != nil {
				return nil, err
			}
			*address = fmt.Sprintf("127.0.0.1:%d", port)
		}
		places, addresses = append(places, n), append(addresses, n.address)
	}
	g := &Galera{}
	for _, n := range places { // one after the other: only one server at a time can be copied
		n.others = addresses
		a, err := newAccount("mysql")
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		m, err := startMariaDB(ctx, &MariaDB{account: a, galera: n})
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		g.Nodes = append(g.Nodes, m)
	}
	return g, nil
}

// args returns the server's arguments.
func (n *galeraNode) args() []string {
	args := []string{
		"--wsrep-on=ON", "--wsrep-provider=" + galeraLibrary, "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
		"--loose-plugin-wsrep-provider=OFF", // since MariaDB 11 this plugin turns some of the options into variables
		"--wsrep-cluster-address=gcomm://" + strings.Join(n.others, ","), "--wsrep-node-address=127.0.0.1",
		"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + n.snapshot,
		"--wsrep-provider-options=gcache.size=32M;gmcast.listen_addr=tcp://" + n.address + ";ist.recv_addr=" + n.transfer,
	}
	if n.first {
		args = append(args, "--wsrep-new-cluster")
	}
	return args
}

// synced reports whether a node has all that the cluster has.
func (m *MariaDB) synced(ctx context.Context) error {
	var name, state string
	err := m.admin.QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &state)
	if err == nil && state != "Synced" {
		err = fmt.Errorf("the node is %s", state)
	}
	return err
}

// NewDatabase creates an empty database and its user, and returns the settings for each node.
func (g *Galera) NewDatabase(ctx context.Context) ([]MariaDBDatabase, error) {
	db, err := g.Nodes[0].NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	var all []MariaDBDatabase
	for _, m := range g.Nodes {
		db.Port = m.Port
		if err := db.await(ctx); err != nil {
			return nil, err
		}
		all = append(all, db)
	}
	return all, nil
}

// await waits until a node lets the user in: it learns of users and their rights a moment after the node that made them.
func (d MariaDBDatabase) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	db, err := sql.Open("mysql", d.DSN())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a node of the cluster does not let a new user in: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close stops all servers and removes their files.
func (g *Galera) Close() error {
	var errs []error
	for _, m := range g.Nodes {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
