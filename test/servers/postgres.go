package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// hba says who may connect and how. The superuser can only use the socket, which is in its own user's folder.
const hba = `
local     all postgres                  trust
local     all all                       scram-sha-256
hostnossl all tlsonly      127.0.0.1/32 reject
hostssl   all certified    127.0.0.1/32 cert
host      all all          127.0.0.1/32 scram-sha-256
`

// Roles with special rules.
const (
	// PostgresTLSOnly is a role that must use TLS.
	PostgresTLSOnly = "tlsonly"
	// PostgresCertified is a role that must present a certificate for its name from the server's authority.
	PostgresCertified = "certified"
)

// Postgres is a PostgreSQL server. It listens on 127.0.0.1 and on a Unix socket, and accepts connections with and without
// TLS. Its certificate is for the name localhost only.
type Postgres struct {
	// Port is the TCP port.
	Port int
	// SocketDir is the folder of the Unix socket.
	SocketDir string
	// Authority has issued the server's certificate and may issue those of clients.
	Authority *Authority
	// CAFile is the authority's certificate.
	CAFile string

	account *account
	process *process // nil while it is stopped
	command command
}

// A PostgresDatabase is an empty database with a role that owns it.
type PostgresDatabase struct {
	Host     string // 127.0.0.1
	Port     int
	Name     string
	User     string
	Password string
}

// StartPostgres creates a database cluster and starts a server for it.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	a, err := newAccount("postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{account: a, SocketDir: a.folder}
	if err := p.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL server: %w", err), p.Close())
	}
	return p, nil
}

func (p *Postgres) init(ctx context.Context) error {
	bin, err := postgresPrograms()
	if err != nil {
		return err
	}
	data := p.account.path("data")
	if err := p.account.run(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres",
		"--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"); err != nil {
		return err
	}
	if p.Port, err = freePort(ctx); err != nil {
		return err
	}
	files, err := p.files()
	if err != nil {
		return err
	}
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(p.Port), "unix_socket_directories=" + p.SocketDir,
		"max_connections=200", "ssl=on", "ssl_min_protocol_version=TLSv1.2",
		"hba_file=" + files["hba.conf"], "ssl_ca_file=" + files["ca.pem"],
		"ssl_cert_file=" + files["server.pem"], "ssl_key_file=" + files["server.key"],
	}
	p.CAFile = files["ca.pem"]
	args := []string{"-D", data}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	p.command = command{
		program: filepath.Join(bin, "postgres"), args: args,
		stop:           syscall.SIGINT,  // disconnects everybody
		atParentsDeath: syscall.SIGQUIT, // at once, but without leaving shared memory behind as SIGKILL would
		ready:          func(ctx context.Context) error { return p.exec(ctx, "SELECT 1") },
	}
	if err := p.Start(ctx); err != nil {
		return err
	}
	return p.exec(ctx, "CREATE ROLE "+PostgresTLSOnly+" LOGIN PASSWORD 'tlsonly'; CREATE ROLE "+PostgresCertified+" LOGIN")
}

// files writes the files that the server reads besides its data, and returns the paths by name.
func (p *Postgres) files() (map[string]string, error) {
	var err error
	if p.Authority, err = NewAuthority(); err != nil {
		return nil, err
	}
	certificate, key, err := p.Authority.Issue("PostgreSQL", "localhost")
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for name, content := range map[string][]byte{
		"hba.conf": []byte(hba), "ca.pem": p.Authority.PEM, "server.pem": certificate, "server.key": key,
	} {
		if paths[name], err = p.account.write(name, content); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// postgresPrograms returns the folder of the server's programs, which is not in PATH on Debian.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("the programs of PostgreSQL are not installed: %w", err)
	}
	return filepath.Dir(path), nil
}

// Start starts the server again after Stop, with its data and on its port.
func (p *Postgres) Start(ctx context.Context) (err error) {
	p.process, err = p.account.start(ctx, p.command)
	return err
}

// Stop disconnects everybody and stops the server.
func (p *Postgres) Stop() error {
	running := p.process
	p.process = nil
	return running.stop()
}

// Close stops the server and removes its files.
func (p *Postgres) Close() error {
	var stopped error
	if p.process != nil {
		p.process.command.stop = syscall.SIGQUIT // without flushing data that is removed next
		stopped = p.Stop()
	}
	return errors.Join(stopped, p.account.remove())
}

// NewDatabase creates an empty database, and a role that owns it but has no other rights.
func (p *Postgres) NewDatabase(ctx context.Context) (PostgresDatabase, error) {
	name := "dex_" + strings.ToLower(rand.Text()[:12])
	db := PostgresDatabase{Host: "127.0.0.1", Port: p.Port, Name: name, User: name, Password: rand.Text()}
	for _, statement := range []string{
		"CREATE ROLE " + db.User + " LOGIN PASSWORD '" + db.Password + "'",
		"CREATE DATABASE " + db.Name + " OWNER " + db.User,
	} {
		if err := p.exec(ctx, statement); err != nil {
			return PostgresDatabase{}, fmt.Errorf("new PostgreSQL database: %w", err)
		}
	}
	return db, nil
}

// Config returns the storage section of a configuration file for the database.
func (d PostgresDatabase) Config() string {
	return fmt.Sprintf(`storage:
  type: postgres
  config:
    host: %s
    port: %d
    database: %s
    user: %s
    password: %s
    ssl: {mode: disable}
`, d.Host, d.Port, d.Name, d.User, d.Password)
}

// URL returns the database's address for a PostgreSQL client.
func (d PostgresDatabase) URL() string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", d.User, d.Password,
		net.JoinHostPort(d.Host, strconv.Itoa(d.Port)), d.Name)
}

// AdminDSN returns the connection string for a database as the superuser.
func (p *Postgres) AdminDSN(database string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable", p.SocketDir, p.Port, database)
}

// exec runs statements as the superuser.
func (p *Postgres) exec(ctx context.Context, statements string) error {
	conn, err := pgx.Connect(ctx, p.AdminDSN("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statements)
	return errors.Join(err, conn.Close(ctx))
}

// WriteClientFiles writes a certificate from the authority for a role, and its key, and returns their paths.
func (p *Postgres) WriteClientFiles(role string) (certFile, keyFile string, err error) {
	certificate, key, err := p.Authority.Issue(role)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = p.account.path(role+".pem"), p.account.path(role+".key")
	if err := os.WriteFile(certFile, certificate, 0o600); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, key, 0o600)
}
