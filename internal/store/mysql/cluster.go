package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// A cluster is what is known of servers that replicate to each other so that each may be written to: Galera's (MariaDB,
// Percona XtraDB Cluster) and those of Group Replication (MySQL). All of them agree on each write before it is answered,
// so that of two that contradict each other one fails; but a server applies the others' a moment later, and until then
// its reads answer as of before. It is noticed by itself, at each connection, since that may lead to another server than
// the one before.
type cluster struct{ sort atomic.Pointer[sortOfCluster] }

// A sortOfCluster is how a server says that it is in one, and how its statements are made to wait.
type sortOfCluster struct {
	name string
	// ready asks for a variable that is ON while the server works; empty where none says so.
	ready string
	is    func(variables map[string]string) bool
	wait  string // for the settings of a connection
}

var sortsOfCluster = []*sortOfCluster{
	{
		name:  "Galera",
		ready: "SHOW GLOBAL STATUS LIKE 'wsrep_ready'",
		is: func(v map[string]string) bool {
			return v["wsrep_on"] == "ON" && v["wsrep_provider"] != "" && v["wsrep_provider"] != "none"
		},
		wait: "SET SESSION wsrep_sync_wait = 7", // reads, changes, and insertions
	},
	{
		name: "Group Replication",
		is: func(v map[string]string) bool {
			return v["group_replication_group_name"] != "" && v["group_replication_consistency"] != ""
		},
		wait: "SET SESSION group_replication_consistency = 'BEFORE'",
	},
}

const clusterText = "SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_provider'," +
	" 'group_replication_group_name', 'group_replication_consistency')"

// look asks the server of a connection whether it is in a cluster. What was noticed once stays so.
func (c *cluster) look(ctx context.Context, conn *connection) error {
	if c.replicates() {
		return nil
	}
	variables, err := readVariables(ctx, conn, clusterText)
	if err != nil {
		return err
	}
	for _, sort := range sortsOfCluster {
		if sort.is(variables) {
			c.sort.Store(sort)
		}
	}
	return nil
}

// wantReady returns an error for a server that is cut off from its cluster, or has not joined it yet.
func (c *cluster) wantReady(ctx context.Context, conn *connection) error {
	sort := c.sort.Load()
	if sort == nil || sort.ready == "" {
		return nil
	}
	found, err := readVariables(ctx, conn, sort.ready)
	if err != nil {
		return fmt.Errorf("ask whether it is in its cluster: %w", err)
	}
	for name, value := range found {
		if value != "ON" {
			return fmt.Errorf("the server is cut off from its cluster (%s = %s)", name, value)
		}
	}
	return nil
}

func (c *cluster) replicates() bool { return c.sort.Load() != nil }

// waiting returns the setting that makes the statements of a connection wait, empty where there is nothing to wait for.
func (c *cluster) waiting() string {
	if sort := c.sort.Load(); sort != nil {
		return sort.wait
	}
	return ""
}

// String returns the name of the sort of cluster, empty for none.
func (c *cluster) String() string {
	if sort := c.sort.Load(); sort != nil {
		return sort.name
	}
	return ""
}

func readVariables(ctx context.Context, conn *connection, text string) (_ map[string]string, err error) {
	rows, err := conn.QueryContext(ctx, text, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	variables := make(map[string]string)
	for row := make([]sqldriver.Value, 2); ; {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return variables, nil
		case err != nil:
			return nil, err
		}
		name, _ := row[0].([]byte)
		value, _ := row[1].([]byte)
		variables[string(name)] = string(value)
	}
}
