package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dex/internal/store"
	"dex/internal/wait"
)

// maxAttempts is how often an operation is tried.
const maxAttempts = 5

// readOnly is the SQLSTATE of a write that a standby, or a server set to be read only, refuses.
const readOnly = "25006"

// The SQLSTATEs of statements that are prepared under a name that the server knows already, that it doesn't know, such as behind a
// pooler, and whose tables were altered or restored.
const (
	duplicateStatement = "42P05"
	unknownStatement   = "26000"
	changedTable       = "0A000"
)

// isAnswer tells an answer to the caller from a failure of the database.
func isAnswer(err error) bool {
	return errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound)
}

// retriable reports whether an operation that failed surely did nothing, or may be done twice, and may do better.
func retriable(err error, reads bool) bool {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch server.Code {
		case "40001", "40P01": // serialization failure, deadlock: possible where a pooler, a trigger or another engine makes them so
			return true
		case readOnly: // the connection has ended; the next may lead to another server, see leaveStandbys
			return true
		case duplicateStatement: // see notePooler
			return true
		case unknownStatement, changedTable: // the connection prepares it anew
			return true
		case "57P01", "57P02": // the server shuts down or has crashed; a write may have been committed before
			return reads
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false // all hosts have been tried
	}
	return pgconn.SafeToRetry(err) || reads && isLost(err)
}

// isLost reports whether the connection broke.
func isLost(err error) bool {
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// pause waits a little at random, longer after each attempt.
func pause(ctx context.Context, attempt int) {
	_ = wait.For(ctx, rand.N(time.Millisecond<<attempt)) //nolint:gosec // jitter, not a secret
}

// An explained error has a message for the operator instead of the driver's.
type explained struct {
	message string
	cause   error
}

func (e *explained) Error() string { return e.message }
func (e *explained) Unwrap() error { return e.cause }

// explain returns the error with a message in one line that leaves out the driver's steps and says what may help.
func explain(err error) error {
	if _, ok := errors.AsType[*explained](err); ok {
		return err
	}
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &explained{fmt.Sprintf("%s (SQLSTATE %s)%s", server.Message, server.Code, advice[server.Code]), err}
	}
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		message := strings.Join(strings.Fields(connect.Unwrap().Error()), " ")
		if strings.Contains(message, "server refused TLS connection") {
			message += "; if the connection need not be encrypted, set ssl.mode to disable"
		} else if strings.Contains(message, "tls: ") || strings.Contains(message, "x509: ") {
			message += "; see ssl.mode and ssl.caFile"
		}
		return &explained{message, err}
	}
	return err
}

// advice is what an operator can do about errors of the server, by SQLSTATE.
var advice = map[string]string{
	"28P01": "; see user and password",
	"3D000": "; see database",
	"42501": "; the role needs the right to create tables, or else SELECT, INSERT, UPDATE and DELETE on the tables dex_*" +
		" that somebody else made",
	"53300":  "; see maxOpenConns, and max_connections of the server",
	readOnly: "; the server is a standby, or is set to be read only",
}
