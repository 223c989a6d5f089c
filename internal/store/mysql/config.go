package mysql

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// Config says where the server is and how to connect to it. The keys are upstream's. Unlike there, the bounds of the
// pool are honoured, and what is left out gets a default that keeps connections instead of making one for each
// statement.
type Config struct {
	// Host is a name or an address, with or without a port, or the path of a Unix socket. Empty means 127.0.0.1.
	Host string `key:"host"`
	// Hosts are several of them, instead of Host. Connections lead to the first that can be written to.
	Hosts []string `key:"hosts"`
	// Port is where a host has none; 0 means 3306.
	Port     uint16 `key:"port"`
	Database string `key:"database"`
	User     string `key:"user"`
	Password string `key:"password" secret:"file"`

	// ConnectionTimeout is how many seconds it may take to connect and log in; 0 means 10.
	ConnectionTimeout int `key:"connectionTimeout"`
	// MaxOpenConns is the most connections at a time; 0 means four for each processor, and at least 10; less than 0 means
	// no limit.
	MaxOpenConns int `key:"maxOpenConns"`
	// MaxIdleConns is how many of them are kept while there is nothing to do; 0 means all, or where there is no limit as
	// many as there are by default; less than 0 means none.
	MaxIdleConns int `key:"maxIdleConns"`
	// ConnMaxLifetime is how many seconds a connection is used; 0 means 300, so that no proxy or firewall on the way
	// forgets a connection first, and that after a failover the new server is found by its name; less than 0 means for
	// ever.
	ConnMaxLifetime int `key:"connMaxLifetime"`

	SSL SSL `key:"ssl"`
}

// SSL says how connections are encrypted. Those to a Unix socket never are: they don't leave the machine.
type SSL struct {
	// Mode is true, which is the default: encrypt, and verify the server by the authorities of the system; false: don't
	// encrypt; skip-verify: encrypt, but don't verify; preferred: the same where the server offers it, else don't
	// encrypt; custom: encrypt, and verify by the files below. Any file makes it custom, whatever it says.
	Mode string `key:"mode"`
	// CAFile has the authorities that may have issued the server's certificate; empty means those of the system.
	CAFile string `key:"caFile"`
	// CertFile and KeyFile are the certificate by which the server knows us, used where both are given.
	CertFile string `key:"certFile"`
	KeyFile  string `key:"keyFile"`
}

// The values of ssl.mode.
const (
	modeVerify     = "true"
	modePlain      = "false"
	modeSkipVerify = "skip-verify"
	modePreferred  = "preferred"
	modeCustom     = "custom"
)

const (
	defaultPort              = "3306"
	defaultConnectionTimeout = 10 * time.Second
	defaultConnMaxLifetime   = 5 * time.Minute
	leastDefaultConns        = 10

	// mostSeconds bounds the keys that are seconds: ten years.
	mostSeconds = 10 * 365 * 24 * 60 * 60
)

// Mistakes returns what is wrong with the configuration, by dotted key, as far as that can be known without touching
// anything.
func (c *Config) Mistakes() map[string]string {
	found := make(map[string]string)
	if c.Database == "" {
		found["database"] = "must name the database"
	}
	c.hostMistakes(found)
	if n := c.ConnectionTimeout; n < 0 || n > mostSeconds {
		found["connectionTimeout"] = fmt.Sprintf("must be from 0 to %d seconds", mostSeconds)
	}
	if c.ConnMaxLifetime > mostSeconds {
		found["connMaxLifetime"] = fmt.Sprintf("must be at most %d seconds", mostSeconds)
	}
	switch c.SSL.mode() {
	case "":
		found["ssl.mode"] = "must be true, false, skip-verify, preferred or custom"
	case modeCustom:
		if !c.SSL.hasFiles() {
			found["ssl.mode"] = "custom needs caFile, or certFile and keyFile"
		}
	}
	return found
}

func (c *Config) hostMistakes(found map[string]string) {
	switch _, port, ok := splitPort(c.Host); {
	case c.Host != "" && len(c.Hosts) > 0:
		found["host"] = "is given beside hosts; remove one of them"
	case strings.Contains(c.Host, ",") && !isSocket(c.Host):
		found["host"] = "names one server; list several under hosts"
	case ok && c.Port != 0 && port != "" && port != c.portText():
		found["host"] = "has a port, and the key port gives another; remove one of them"
	case slices.Contains(c.Hosts, ""):
		found["hosts"] = "one of them is empty"
	}
}

func (s *SSL) hasFiles() bool { return s.CAFile != "" || s.CertFile != "" || s.KeyFile != "" }

// mode returns the mode in force; empty for one that there is not.
func (s *SSL) mode() string {
	if s.hasFiles() {
		return modeCustom
	}
	switch mode := strings.ToLower(s.Mode); mode {
	case "", "1", modeVerify:
		return modeVerify
	case "0", modePlain:
		return modePlain
	case modeSkipVerify, modePreferred, modeCustom:
		return mode
	default:
		return ""
	}
}

func (c *Config) portText() string {
	if c.Port == 0 {
		return defaultPort
	}
	return strconv.Itoa(int(c.Port))
}

// splitPort takes host:port apart. A bare IPv6 address has no port.
func splitPort(text string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(text)
	return host, port, err == nil
}

func isSocket(host string) bool { return strings.HasPrefix(host, "/") }

// An address is where a server listens.
type address struct {
	network, dial string
	name          string // that its certificate must have; empty for a socket
}

// addresses returns those of all servers, in the order in which to try them.
func (c *Config) addresses() []address {
	if len(c.Hosts) == 0 {
		return []address{c.address(c.Host)}
	}
	var all []address
	for _, host := range c.Hosts {
		all = append(all, c.address(host))
	}
	return all
}

func (c *Config) address(host string) address {
	if isSocket(host) {
		return address{network: "unix", dial: host}
	}
	name, port, ok := splitPort(host)
	if !ok {
		name = strings.Trim(host, "[]")
	}
	name = cmp.Or(name, "127.0.0.1")
	return address{network: "tcp", dial: net.JoinHostPort(name, cmp.Or(port, c.portText())), name: name}
}

// place names the servers in messages.
func (c *Config) place() string {
	var names []string
	for _, a := range c.addresses() {
		names = append(names, a.dial)
	}
	return strings.Join(names, ", ")
}

// overSocket reports whether no connection leaves the machine.
func (c *Config) overSocket() bool {
	return !slices.ContainsFunc(c.addresses(), func(a address) bool { return a.network != "unix" })
}

func (c *Config) connectionTimeout() time.Duration {
	return cmp.Or(time.Duration(c.ConnectionTimeout)*time.Second, defaultConnectionTimeout)
}

// connMaxLifetime, maxOpenConns and maxIdleConns return numbers as database/sql takes them: less than 0 means no limit,
// and that none is kept.
func (c *Config) connMaxLifetime() time.Duration {
	if c.ConnMaxLifetime < 0 {
		return -1
	}
	return cmp.Or(time.Duration(c.ConnMaxLifetime)*time.Second, defaultConnMaxLifetime)
}

func (c *Config) maxOpenConns() int {
	return cmp.Or(c.MaxOpenConns, defaultConns())
}

func (c *Config) maxIdleConns() int {
	if c.MaxIdleConns == 0 && c.MaxOpenConns < 0 {
		return defaultConns()
	}
	return cmp.Or(c.MaxIdleConns, c.maxOpenConns())
}

func defaultConns() int { return max(leastDefaultConns, 4*runtime.GOMAXPROCS(0)) }

// forDriver returns the configuration for a server as the driver takes it. It reads the files of c.SSL.
func (c *Config) forDriver(at address, log *slog.Logger) (*driver.Config, error) {
	d := driver.NewConfig()
	d.Net, d.Addr = at.network, at.dial
	d.User, d.Passwd, d.DBName = c.User, c.Password, c.Database
	d.Loc, d.ParseTime = time.UTC, true // for reading the tables that upstream left
	d.MaxAllowedPacket = 0              // asks the server
	// One round trip for a statement, and none before it; and no prepared statements, which cost memory on the server
	// for each connection and which some proxies can't pass on.
	d.InterpolateParams = true
	// A server that has become a replica after a failover is left for the new one.
	d.RejectReadOnly = true
	d.Logger = driverLog{log}
	var err error
	if d.TLS, err = c.tlsConfig(at, log); err != nil {
		return nil, err
	}
	d.AllowFallbackToPlaintext = c.SSL.mode() == modePreferred
	return d, nil
}

// tlsConfig returns nil for connections without encryption.
func (c *Config) tlsConfig(at address, log *slog.Logger) (*tls.Config, error) {
	if at.network == "unix" {
		return nil, nil
	}
	t := &tls.Config{ServerName: at.name, MinVersion: tls.VersionTLS12}
	switch c.SSL.mode() {
	case modePlain:
		return nil, nil
	case modeSkipVerify, modePreferred:
		t.InsecureSkipVerify = true // as the operator asked for
	case modeCustom:
		return t, c.SSL.addFiles(t, log)
	}
	return t, nil
}

func (s *SSL) addFiles(t *tls.Config, log *slog.Logger) error {
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return fmt.Errorf("ssl.caFile: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return errors.New("ssl.caFile: no certificate in PEM form is in " + s.CAFile)
		}
	}
	switch {
	case s.CertFile == "" && s.KeyFile == "":
	case s.CertFile == "" || s.KeyFile == "":
		// Upstream accepts this, so it must not keep the server from starting.
		log.Warn("no client certificate is shown to MySQL: only one of ssl.certFile and ssl.keyFile is given")
	default:
		pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return fmt.Errorf("ssl.certFile and ssl.keyFile: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return nil
}
