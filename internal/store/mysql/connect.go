package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// lockWait is how many seconds a statement waits for the lock of another, on rows or on a table, before the server gives
// it up and it is tried again. The server's own limits, 50 seconds and a day or more, would outlast the operation: a
// write would be done long after its caller has left.
const lockWait = 2

// sessionSettings are what this package needs of every connection, whatever the server's defaults are. The isolation
// level has a statement of its own because the variable has two names, of which no server has always known both.
//
// At READ COMMITTED, statements see what is committed when they run, and lock the rows that they change but not the gaps
// between them. The character set matters for the driver: it writes values into the statements, and where a server
// imposes one whose characters may end in a backslash, what it escapes would not be.
var sessionSettings = []string{
	fmt.Sprintf("SET NAMES utf8mb4, SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = %d, SESSION lock_wait_timeout = %[1]d,"+
		" SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", lockWait),
	"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
}

// pool returns a pool of connections with the bounds of the configuration. It makes none before one is needed.
func (c *Config) pool(connect connector) *sql.DB {
	db := sql.OpenDB(connect)
	db.SetMaxOpenConns(c.maxOpenConns())
	db.SetMaxIdleConns(c.maxIdleConns())
	db.SetConnMaxLifetime(c.connMaxLifetime())
	return db
}

// A connector makes connections with the settings that this package needs, to the first of its servers that can be
// written to.
type connector struct {
	servers []server
	usable  *atomic.Int32 // the index of the server that took the last connection, which is tried first
	timeout time.Duration // for all servers together
	cluster *cluster
	waits   bool // each statement waits for what other servers of the cluster have taken
}

type server struct {
	sqldriver.Connector
	address string
}

// Driver is part of driver.Connector.
func (c connector) Driver() sqldriver.Driver { return c.servers[0].Driver() }

// Connect is part of driver.Connector.
func (c connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	if len(c.servers) == 1 {
		return c.connect(ctx, c.servers[0], c.timeout)
	}
	var failure error
	// One that can't be reached leaves time for the others.
	timeout, first := c.timeout/time.Duration(len(c.servers)), int(c.usable.Load())
	for i := range c.servers {
		n := (first + i) % len(c.servers)
		conn, err := c.connect(ctx, c.servers[n], timeout)
		if err == nil {
			c.usable.Store(int32(n)) //nolint:gosec // G115: nobody lists so many
			return conn, nil
		}
		err = fmt.Errorf("%s: %w", c.servers[n].address, err)
		if failure != nil {
			err = fmt.Errorf("%w; %w", failure, err)
		}
		failure = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failure
}

func (c connector) connect(ctx context.Context, to server, timeout time.Duration) (sqldriver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	inner, err := to.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := &connection{driverConn: inner.(driverConn)}
	if err := c.prepare(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("settings of the connection: %w", err), conn.Close())
	}
	if len(c.servers) == 1 {
		return conn, nil
	}
	if err := wantWritable(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := c.cluster.wantReady(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// wantWritable returns an error for a server that takes no writes, such as a replica or a reader of a cluster.
func wantWritable(ctx context.Context, conn *connection) error {
	variables, err := readVariables(ctx, conn, writableText)
	if err != nil {
		return fmt.Errorf("ask whether it can be written to: %w", err)
	}
	for name, value := range variables {
		if value != "OFF" && value != "0" {
			return fmt.Errorf("the server is read-only (%s = %s)", name, value)
		}
	}
	return nil
}

// Replicas set the first; readers of Amazon Aurora have the second.
const writableText = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'innodb_read_only')"

func (c connector) prepare(ctx context.Context, conn *connection) error {
	for _, text := range sessionSettings {
		if _, err := conn.ExecContext(ctx, text, nil); err != nil {
			return err
		}
	}
	if err := c.cluster.look(ctx, conn); err != nil || !c.waits {
		return err
	}
	text := c.cluster.waiting()
	if text == "" {
		return nil
	}
	_, err := conn.ExecContext(ctx, text, nil)
	return err
}

// driverConn is what the driver's connections can do.
type driverConn interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.NamedValueChecker
	sqldriver.Pinger
	sqldriver.QueryerContext
	sqldriver.SessionResetter
	sqldriver.Validator
}

// A connection is left when its server turns out to be out of work, so that the next one may lead to another server.
type connection struct {
	driverConn
	useless bool
}

// ExecContext is part of driver.ExecerContext.
func (c *connection) ExecContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	result, err := c.driverConn.ExecContext(ctx, text, args)
	c.useless = c.useless || notReady(err)
	return result, err
}

// QueryContext is part of driver.QueryerContext.
func (c *connection) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	rows, err := c.driverConn.QueryContext(ctx, text, args)
	c.useless = c.useless || notReady(err)
	return rows, err
}

// BeginTx is part of driver.ConnBeginTx.
func (c *connection) BeginTx(ctx context.Context, options sqldriver.TxOptions) (sqldriver.Tx, error) {
	tx, err := c.driverConn.BeginTx(ctx, options)
	c.useless = c.useless || notReady(err)
	return tx, err
}

// IsValid is part of driver.Validator.
func (c *connection) IsValid() bool { return !c.useless && c.driverConn.IsValid() }

// driverLog logs what the driver says at level debug, as it comes as an error too.
type driverLog struct{ log *slog.Logger }

// Print is part of driver.Logger.
func (l driverLog) Print(v ...any) { l.log.Debug("MySQL driver: " + fmt.Sprint(v...)) }

// Numbers of errors that a server reports.
const (
	errTooManyConnections = 1040
	errDatabaseDenied     = 1044
	errAccessDenied       = 1045
	errNotInCluster       = 1047
	errNoDatabase         = 1049
	errDuplicate          = 1062
	errUnknown            = 1105
	errCommandDenied      = 1142
	errNoTable            = 1146
	errPacketTooLarge     = 1153
	errLockWaitTimeout    = 1205
	errDeadlock           = 1213
	errRolledBack         = 3101
	errNotInGroup         = 3796
	errBinlogFormat       = 1665
	errDuringCommit       = 1180
	errNeedsTLS           = 3159
)

// advice says in plain words what the operator can do about an error of the server.
var advice = map[uint16]string{
	errTooManyConnections: "the server has no connection left; lower maxOpenConns or raise its max_connections",
	errDatabaseDenied:     "the user may not use the database; see database and user, or grant the rights",
	errAccessDenied: "the server refuses the user or the password, or wants an encrypted connection;" +
		" see user, password and ssl.mode",
	errNotInCluster:   "the server is cut off from its cluster, or is just joining it; see its wsrep_cluster_status",
	errDuringCommit:   "the server could not commit; in a cluster, it was cut off in the middle of it",
	errNotInGroup:     "the server is configured for Group Replication, but is no member of its group that is online",
	errNoDatabase:     "there is no such database; see database, or create it",
	errCommandDenied:  "the user lacks a right on the tables dex_*; grant it",
	errPacketTooLarge: packetAdvice,
	errBinlogFormat:   "the server must log rows; set its binlog_format to ROW or MIXED",
	errNeedsTLS:       "the server wants an encrypted connection; set ssl.mode to another value than false",
}

const packetAdvice = "the record is larger than the server takes; raise its max_allowed_packet"

// advised adds to an error what can be done about it, where that is known.
func advised(err error) error {
	text := advice[number(err)]
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case unverified:
		text = "the server's certificate can't be verified; set ssl.caFile to the authority that issued it, and host to a name" +
			" in it"
	case errors.Is(err, driver.ErrInvalidConn):
		text = "the connection broke"
	case errors.Is(err, driver.ErrPktTooLarge), longData(err):
		text = packetAdvice
	case errors.Is(err, driver.ErrNoTLS):
		text = "the server offers no encryption; configure it there, or set ssl.mode to false or preferred"
	case errors.Is(err, sqldriver.ErrBadConn):
		text = "the server ends each connection, or is read-only"
	}
	if text == "" {
		return err
	}
	return fmt.Errorf("%s: %w", text, err)
}

// longData reports whether the server refused a value that was sent apart from its statement, as the driver does with
// one too large for it. The number of that error stands for others too.
func longData(err error) bool {
	return number(err) == errUnknown && strings.Contains(err.Error(), "mysql_send_long_data")
}

// number returns the number of an error that the server reported, 0 for other errors.
func number(err error) uint16 {
	reported, ok := errors.AsType[*driver.MySQLError](err)
	if !ok {
		return 0
	}
	return reported.Number
}

// lostRace reports whether a statement was given up in favour of another, perhaps at another server of a group, so that
// nothing of it, or of its transaction, has happened. An expired wait leaves the transaction open; it is rolled back
// here.
func lostRace(err error) bool {
	n := number(err)
	return n == errDeadlock || n == errLockWaitTimeout || n == errRolledBack
}

// notReady reports whether a server refused a statement because it does not belong to its cluster at this moment, so that
// nothing has happened.
func notReady(err error) bool {
	n := number(err)
	return n == errNotInCluster || n == errNotInGroup
}

// unsent reports whether a connection broke before it took a statement, or was given up because its server has become
// read-only, so that nothing has happened. The package database/sql takes another connection then, but not within a
// transaction.
func unsent(err error) bool { return errors.Is(err, sqldriver.ErrBadConn) }
