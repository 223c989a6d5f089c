package servers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	mysql "github.com/go-sql-driver/mysql"
)

// mysqlMode is the default sql_mode of MySQL 8, which is stricter than MariaDB's.
const mysqlMode = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE," +
	"ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

// MariaDB is a MariaDB server that behaves as much as possible like MySQL 8. It listens on 127.0.0.1 and on a Unix socket, and
// accepts connections with and without TLS. Its certificate is for the name localhost only.
type MariaDB struct {
	// Port is the TCP port.
	Port int
	// Socket is the path of the Unix socket.
	Socket string
	// Authority has issued the server's certificate and may issue those of clients.
	Authority *Authority
	// CAFile is the authority's certificate.
	CAFile string

	account *account
	process *process // nil while it is stopped
	command command
	admin   *sql.DB     // as root, through the socket
	galera  *galeraNode // nil for a single server
}

// A MariaDBDatabase is an empty database and a user with all rights in it, and none elsewhere.
type MariaDBDatabase struct {
	Host     string // 127.0.0.1
	Port     int
	Name     string
	User     string
	Password string
}

// StartMariaDB creates a server's files and starts it.
func StartMariaDB(ctx context.Context) (*MariaDB, error) {
	a, err := newAccount("mysql")
	if err != nil {
		return nil, err
	}
	return startMariaDB(ctx, &MariaDB{account: a})
}

func startMariaDB(ctx context.Context, m *MariaDB) (*MariaDB, error) {
	m.Socket = m.account.path("mariadb.sock")
	if err := m.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("MariaDB server: %w", err), m.Close())
	}
	return m, nil
}

func (m *MariaDB) init(ctx context.Context) error {
	program, err := mariadbProgram()
	if err != nil {
		return err
	}
	data := m.account.path("data")
	if err := m.makeFiles(ctx, data); err != nil {
		return err
	}
	if m.Port, err = freePort(ctx); err != nil {
		return err
	}
	certificates, err := m.certificates()
	if err != nil {
		return err
	}
	admin := mysql.NewConfig()
	admin.User, admin.Net, admin.Addr, admin.Logger = "root", "unix", m.Socket, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(admin)
	if err != nil {
		return err
	}
	m.admin = sql.OpenDB(connector)
	m.admin.SetMaxIdleConns(0) // the server may be stopped in between
	m.command = command{
		program: program,
		// The program takes --no-defaults only as its first argument.
		args: append([]string{"--no-defaults", "--datadir=" + data, "--socket=" + m.Socket, "--pid-file=" + data + "/pid",
			"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(m.Port), "--skip-name-resolve", "--max-connections=300",
			"--sql-mode=" + mysqlMode, "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci",
			"--innodb-log-file-size=96M", "--innodb-buffer-pool-size=128M", "--innodb-fast-shutdown=2"}, certificates...),
		ready: m.admin.PingContext,
	}
	if m.galera != nil {
		m.command.args = append(m.command.args, m.galera.args()...)
		m.command.ready = m.synced
	}
	if err := m.Start(ctx); err != nil {
		return err
	}
	// Without a user name, connections through the socket would get the anonymous user that the installation created.
	return m.Exec(ctx, "DELETE FROM mysql.global_priv WHERE User = ''", "FLUSH PRIVILEGES")
}

// makeFiles creates an empty server's files. A node that joins a cluster gets them from the existing nodes.
func (m *MariaDB) makeFiles(ctx context.Context, data string) error {
	if m.galera != nil && !m.galera.first {
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		return m.account.own(data)
	}
	return m.account.run(ctx, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--skip-test-db",
		"--auth-root-authentication-method=normal", "--innodb-log-file-size=8M")
}

// certificates writes the TLS files and returns the arguments for them.
func (m *MariaDB) certificates() (args []string, err error) {
	if m.Authority, err = NewAuthority(); err != nil {
		return nil, err
	}
	certificate, key, err := m.Authority.Issue("MariaDB", "localhost")
	if err != nil {
		return nil, err
	}
	for option, content := range map[string][]byte{"ssl-ca": m.Authority.PEM, "ssl-cert": certificate, "ssl-key": key} {
		path, err := m.account.write(option+".pem", content)
		if err != nil {
			return nil, err
		}
		args = append(args, "--"+option+"="+path)
	}
	m.CAFile = m.account.path("ssl-ca.pem")
	return args, nil
}

// mariadbProgram returns the path of the server, which on Debian is only in root's PATH.
func mariadbProgram() (string, error) {
	for _, path := range []string{"mariadbd", "/usr/sbin/mariadbd"} {
		if found, err := exec.LookPath(path); err == nil {
			return filepath.Abs(found)
		}
	}
	return "", errors.New("the programs of MariaDB are not installed")
}

// Start starts the server again after Stop or Kill, with its data and on its port.
func (m *MariaDB) Start(ctx context.Context) (err error) {
	m.process, err = m.account.start(ctx, m.command)
	return err
}

// Stop disconnects everybody and stops the server.
func (m *MariaDB) Stop() error {
	running := m.process
	m.process = nil
	return running.stop()
}

// Kill ends the server as a crash would.
func (m *MariaDB) Kill() {
	m.process.kill()
	m.process = nil
}

// Close stops the server and removes its files.
func (m *MariaDB) Close() error {
	var errs []error
	if m.admin != nil {
		errs = append(errs, m.admin.Close())
	}
	if m.process != nil {
		errs = append(errs, m.Stop())
	}
	return errors.Join(append(errs, m.account.remove())...)
}

// NewDatabase creates an empty database and its user. Its text comparison is case-insensitive, as by default.
func (m *MariaDB) NewDatabase(ctx context.Context) (MariaDBDatabase, error) {
	name := "dex_" + strings.ToLower(rand.Text()[:12])
	db := MariaDBDatabase{Host: "127.0.0.1", Port: m.Port, Name: name, User: name, Password: rand.Text()}
	if err := m.Exec(ctx,
		"CREATE DATABASE "+db.Name,
		"CREATE USER "+db.User+" IDENTIFIED BY '"+db.Password+"'",
		"GRANT ALL ON "+db.Name+".* TO "+db.User,
	); err != nil {
		return MariaDBDatabase{}, fmt.Errorf("new MariaDB database: %w", err)
	}
	return db, nil
}

// Exec runs statements as root.
func (m *MariaDB) Exec(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := m.admin.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Admin returns a pool for root. It does not outlive the server.
func (m *MariaDB) Admin() *sql.DB { return m.admin }

// WriteClientFiles writes a certificate from the authority with a common name, and its key, and returns their paths.
func (m *MariaDB) WriteClientFiles(name string) (certFile, keyFile string, err error) {
	certificate, key, err := m.Authority.Issue(name)
	if err != nil {
		return "", "", err
	}
	if certFile, err = m.account.write(name+".pem", certificate); err != nil {
		return "", "", err
	}
	keyFile, err = m.account.write(name+".key", key)
	return certFile, keyFile, err
}

// Config returns the storage section of a configuration file for the database.
func (d MariaDBDatabase) Config() string {
	return fmt.Sprintf(`storage:
  type: mysql
  config:
    host: %s
    port: %d
    database: %s
    user: %s
    password: %s
    ssl: {mode: "false"}
`, d.Host, d.Port, d.Name, d.User, d.Password)
}

// DSN returns the database's address for a MySQL client.
func (d MariaDBDatabase) DSN() string {
	return fmt.Sprintf("%s:%s@tcp(%s:%d)/%s", d.User, d.Password, d.Host, d.Port, d.Name)
}
