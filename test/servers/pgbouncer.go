package servers

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a pooler in front of a PostgreSQL database, which gives each transaction a different one of its few
// connections.
type PgBouncer struct {
	Port int

	account *account
	process *process
}

const bouncerConfiguration = `
[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = plain
auth_file = %s
pool_mode = transaction
default_pool_size = 3
server_tls_sslmode = disable
`

// StartPgBouncer starts a pooler for the role of a database.
func StartPgBouncer(ctx context.Context, db PostgresDatabase) (*PgBouncer, error) {
	a, err := newAccount("postgres")
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{account: a}
	if err := b.start(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("PgBouncer: %w", err), b.Close())
	}
	return b, nil
}

func (b *PgBouncer) start(ctx context.Context, db PostgresDatabase) error {
	program, err := bouncerProgram()
	if err != nil {
		return err
	}
	if b.Port, err = freePort(ctx); err != nil {
		return err
	}
	users, err := b.account.write("users.txt", fmt.Appendf(nil, "%q %q\n", db.User, db.Password))
	if err != nil {
		return err
	}
	config, err := b.account.write("pgbouncer.ini", fmt.Appendf(nil, bouncerConfiguration, db.Host, db.Port, b.Port, users))
	if err != nil {
		return err
	}
	b.process, err = b.account.start(ctx, command{
		program: program, args: []string{config},
		ready: func(ctx context.Context) error {
			conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable",
				db.User, db.Password, b.Port, db.Name))
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		},
	})
	return err
}

// bouncerProgram returns the path of the pooler, which on Debian is only in root's PATH.
func bouncerProgram() (string, error) {
	for _, path := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if found, err := exec.LookPath(path); err == nil {
			return filepath.Abs(found)
		}
	}
	return "", errors.New("PgBouncer is not installed")
}

// Close stops the pooler and removes its files.
func (b *PgBouncer) Close() error {
	var err error
	if b.process != nil {
		err = b.process.stop()
	}
	return errors.Join(err, b.account.remove())
}
