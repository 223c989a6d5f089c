package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dex/internal/certificate"
)

// Config says where the database is and how to connect to it. What is empty is taken from libpq's environment variables
// (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGPASSFILE, PGSERVICE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, ...), from
// ~/.pgpass and from ~/.postgresql, then from the defaults named here. The mode of TLS and the time to connect are
// always taken from here.
type Config struct {
	// Host is a host name or IP address, either with or without ":port", or the directory of a Unix socket. Several,
	// separated by commas, are tried in turn. Empty means localhost.
	Host string `key:"host"`
	// Port counts for the hosts that name none. 0 means 5432.
	Port     uint16 `key:"port"`
	Database string `key:"database"`
	User     string `key:"user"`
	Password string `key:"password" secret:"file"`

	// ConnectionTimeout is how long making a connection may take, in seconds. 0 means 10.
	ConnectionTimeout int `key:"connectionTimeout"`
	// MaxOpenConns is how many connections there may be, besides one that only listens for changes. 0 means four for
	// each processor, at least 5 and at most 20: one operation is one statement, so that a few connections serve many
	// callers, and a server has 100 by default for all the replicas of all its programs. Less than 0, which upstream takes
	// for no limit, means 100.
	MaxOpenConns int `key:"maxOpenConns"`
	// MaxIdleConns is how many connections are kept for later. 0 means all, less than 0 none. None is kept for more than
	// half an hour.
	MaxIdleConns int `key:"maxIdleConns"`
	// ConnMaxLifetime is after how many seconds a connection is replaced by a new one, which may lead to another server.
	// 0 means an hour, less than 0 never.
	ConnMaxLifetime int `key:"connMaxLifetime"`

	SSL SSL `key:"ssl"`
}

// SSL says how connections are encrypted. Those through a Unix socket never are.
type SSL struct {
	// Mode is one of libpq's: disable, allow, prefer, require, verify-ca and verify-full. Empty means verify-full.
	// Require behaves as verify-ca when there is a CA file.
	Mode string `key:"mode"`
	// CAFile holds the certificates, as PEM, of the authorities that may have issued the server's. Empty means
	// ~/.postgresql/root.crt if there is one, or else the authorities that the system trusts.
	CAFile string `key:"caFile"`
	// CertFile and KeyFile are a certificate to show to the server, and its key, as PEM.
	CertFile string `key:"certFile"`
	KeyFile  string `key:"keyFile"`
}

var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

const (
	defaultHost           = "localhost"
	defaultPort           = "5432"
	defaultConnectTimeout = 10 * time.Second

	// unboundedConns is how many connections there may be where no limit is asked for: the pool needs one, and more are
	// refused by a server with the usual settings.
	unboundedConns  = 100
	defaultLifetime = time.Hour
	// unboundedLifetime is longer than any process lives.
	unboundedLifetime = 100 * 365 * 24 * time.Hour
)

// Mistakes returns what is wrong with the configuration and what is allowed, by the dotted key of the setting.
func (c *Config) Mistakes() map[string]string {
	found := map[string]string{}
	if c.SSL.Mode != "" && !slices.Contains(sslModes, c.SSL.Mode) {
		found["ssl.mode"] = fmt.Sprintf("unknown mode %q; must be one of %s", c.SSL.Mode, strings.Join(sslModes, ", "))
	}
	if n := c.ConnectionTimeout; n < 0 || n > maxNumber {
		found["connectionTimeout"] = fmt.Sprintf("must be 0, which means the default, or a number up to %d, not %d", maxNumber, n)
	}
	for key, n := range map[string]int{
		"maxOpenConns": c.MaxOpenConns, "maxIdleConns": c.MaxIdleConns, "connMaxLifetime": c.ConnMaxLifetime,
	} {
		if n > maxNumber {
			found[key] = fmt.Sprintf("must be a number up to %d, not %d", maxNumber, n)
		}
	}
	entries := strings.Split(c.Host, ",")
	for _, entry := range entries {
		host, port := splitHost(entry)
		if host == "" && len(entries) > 1 {
			found["host"] = "an entry of the list names no host"
		}
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
			found["host"] = fmt.Sprintf("the port in it must be a number from 1 to 65535, not %q", port)
		}
	}
	return found
}

// maxNumber bounds seconds and connections: 31 years, or more connections than any server takes.
const maxNumber = 1_000_000_000

// hostsAndPorts returns what Host and Port say, as libpq's lists of the same length; empty where neither says anything.
func (c *Config) hostsAndPorts() (hosts, ports string) {
	port := ""
	if c.Port != 0 {
		port = strconv.Itoa(int(c.Port))
	}
	var allHosts, allPorts []string
	for entry := range strings.SplitSeq(c.Host, ",") {
		host, own := splitHost(entry)
		allHosts, allPorts = append(allHosts, host), append(allPorts, own)
	}
	if strings.Join(allPorts, "") == "" {
		return strings.Join(allHosts, ","), port // the same for all of them, which may be what the environment says
	}
	for i, own := range allPorts {
		allPorts[i] = cmp.Or(own, port, os.Getenv("PGPORT"), defaultPort)
	}
	return strings.Join(allHosts, ","), strings.Join(allPorts, ",")
}

// splitHost takes a host with or without a port apart.
func splitHost(text string) (host, port string) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "/") {
		return text, ""
	}
	// Fails without a port, and for an IPv6 address without brackets.
	if h, p, err := net.SplitHostPort(text); err == nil {
		return h, p
	}
	return strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), ""
}

// pool returns the settings of a pool.
func (c *Config) pool() (poolSettings, error) {
	for key, err := range c.CheckFiles() {
		if err != nil {
			return poolSettings{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	connect, err := pgconn.ParseConfig(c.keywords())
	if err != nil {
		return poolSettings{}, withoutKeywords(err)
	}
	if c.Password != "" {
		connect.Password = c.Password
	}
	if connect.RuntimeParams["application_name"] == "" {
		connect.RuntimeParams["application_name"] = "dex"
	}
	leaveStandbys(connect)
	p := poolSettings{connect: connect, open: c.maxOpen(), lifetime: defaultLifetime}
	p.idle = p.open
	if c.MaxIdleConns != 0 {
		p.idle = int32(min(max(0, c.MaxIdleConns), int(p.open))) //nolint:gosec // bounded by what an int32 holds
	}
	switch {
	case c.ConnMaxLifetime > 0:
		p.lifetime = time.Duration(c.ConnMaxLifetime) * time.Second
	case c.ConnMaxLifetime < 0:
		p.lifetime = unboundedLifetime
	}
	return p, nil
}

// leaveStandbys makes a connection to a server that may only be read, such as one that was the primary until a failover,
// end with the first write that it refuses. Of several hosts only one that can be written to is taken, unless the
// environment says which.
func leaveStandbys(c *pgconn.Config) {
	usual := c.OnPgError
	c.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnly && usual(conn, err)
	}
	several := slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != c.Host || f.Port != c.Port })
	if several && c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
}

// keywords returns the settings as libpq would read them. The password is not among them, because pgconn may quote them in
// an error.
func (c *Config) keywords() string {
	host, port := c.hostsAndPorts()
	if host == "" && os.Getenv("PGHOST") == "" && os.Getenv("PGSERVICE") == "" {
		host = defaultHost
	}
	timeout := int(defaultConnectTimeout.Seconds())
	if c.ConnectionTimeout > 0 {
		timeout = c.ConnectionTimeout
	}
	var b strings.Builder
	for _, setting := range [][2]string{
		{"host", host},
		{"port", port},
		{"dbname", c.Database},
		{"user", c.User},
		{"connect_timeout", strconv.Itoa(timeout)},
		{"sslmode", cmp.Or(c.SSL.Mode, "verify-full")},
		{"sslrootcert", c.SSL.CAFile},
		{"sslcert", c.SSL.CertFile},
		{"sslkey", c.SSL.KeyFile},
	} {
		if setting[1] != "" {
			fmt.Fprintf(&b, "%s='%s' ", setting[0], quoter.Replace(setting[1]))
		}
	}
	return b.String()
}

var quoter = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

func (c *Config) maxOpen() int32 {
	switch {
	case c.MaxOpenConns > 0:
		return int32(min(c.MaxOpenConns, maxNumber))
	case c.MaxOpenConns < 0:
		return unboundedConns
	}
	return int32(min(20, max(5, 4*runtime.GOMAXPROCS(0))))
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	return map[string]error{
		"ssl.caFile": checkReadable(c.SSL.CAFile), "ssl.certFile": checkReadable(c.SSL.CertFile),
		"ssl.keyFile": checkReadable(c.SSL.KeyFile),
	}
}

// WarnFiles returns what somebody should know about the files that the settings name, by key.
func (c *Config) WarnFiles() map[string]string {
	if c.SSL.CertFile == "" {
		return nil
	}
	return map[string]string{"ssl.certFile": certificate.FileExpiring(c.SSL.CertFile, time.Now())}
}

// checkReadable lets the error for a file name the setting that it comes from.
func checkReadable(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file) //nolint:gosec // G304: the operator names it
	if err != nil {
		return err
	}
	return f.Close()
}

// withoutKeywords returns why the settings could not be read, without quoting all of them.
func withoutKeywords(err error) error {
	parse, ok := errors.AsType[*pgconn.ParseConfigError](err)
	if !ok {
		return err
	}
	if cause := errors.Unwrap(parse); cause != nil {
		return cause
	}
	_, reason, _ := strings.Cut(parse.Error(), "`: ")
	return errors.New(cmp.Or(reason, "the settings can't be read"))
}

// A place names a database in messages.
type place struct {
	addresses, database, user string
}

func placeOf(c *pgconn.Config) place {
	var addresses []string
	add := func(host string, port uint16) {
		network, address := pgconn.NetworkAddress(host, port)
		if network == "unix" {
			address = "the socket " + address
		}
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	add(c.Host, c.Port)
	for _, f := range c.Fallbacks {
		add(f.Host, f.Port)
	}
	return place{strings.Join(addresses, ", "), cmp.Or(c.Database, c.User), c.User}
}

func (p place) String() string {
	return fmt.Sprintf("PostgreSQL database %q at %s", p.database, p.addresses)
}
