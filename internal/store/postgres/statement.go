package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// The types of parameters and results, by their OID in pg_type. All of them travel in their binary form.
const (
	typeBool        = 16
	typeBytea       = 17
	typeInt8        = 20
	typeInt2        = 21
	typeInt4        = 23
	typeText        = 25
	typeJSON        = 114
	typeByteas      = 1001 // bytea[]
	typeInt8s       = 1016
	typeBpchar      = 1042
	typeVarchar     = 1043
	typeTimestamp   = 1114
	typeTimestamptz = 1184
	typeUUID        = 2950
	typeUUIDs       = 2951
	typeJSONB       = 3802
)

// inBinary is the format of all parameters, or of all results.
var inBinary = []int16{1}

// A statement is what a connection prepares when it first needs it. Its name comes from its text, so that it means the same on
// all connections that a pooler may have made of it.
type statement struct {
	name, text string
	types      []uint32 // of its parameters
}

func newStatement(text string, types ...uint32) *statement {
	sum := sha256.Sum256([]byte(text))
	return &statement{name: "dex_" + hex.EncodeToString(sum[:16]), text: text, types: types}
}

// run runs a statement. Where statements can't be prepared, it is parsed each time, in the same round trip.
func (c *conn) run(ctx context.Context, s *statement, prepare bool, args [][]byte) *pgconn.Result {
	if !prepare {
		return once(ctx, c.PgConn, s, args...)
	}
	described := c.prepared[s.name]
	if described == nil {
		var err error
		if described, err = c.Prepare(ctx, s.name, s.text, s.types); err != nil {
			return &pgconn.Result{Err: err}
		}
		c.prepared[s.name] = described
	}
	result := c.ExecStatement(ctx, described, args, inBinary, inBinary).Read()
	if server, ok := errors.AsType[*pgconn.PgError](result.Err); ok && (server.Code == unknownStatement || server.Code == changedTable) {
		delete(c.prepared, s.name)
		_ = c.Deallocate(ctx, s.name) // if that fails, the connection has ended
	}
	return result
}

// once runs a statement without preparing it, which works through every pooler.
func once(ctx context.Context, c *pgconn.PgConn, s *statement, args ...[]byte) *pgconn.Result {
	return c.ExecParams(ctx, s.text, args, s.types, inBinary, inBinary).Read()
}

// run runs a statement on a connection of the pool.
func (s *Store) run(ctx context.Context, st *statement, args ...[]byte) (*pgconn.Result, error) {
	r, err := s.pool.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer s.pool.release(r)
	result := r.Value().run(ctx, st, !s.unprepared.Load(), args)
	return result, result.Err
}

func bytea(text string) []byte { return append([]byte{}, text...) } // nil would be NULL

func int8Of(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // its two's complement

// array returns elements as an array of one dimension. A nil one is NULL.
func array(elementType uint32, elements [][]byte) []byte {
	const header, lowerBound = 20, 1
	size := header
	for _, e := range elements {
		size += 4 + len(e)
	}
	b := make([]byte, 0, size)
	dimensions := uint32(1)
	if len(elements) == 0 {
		dimensions = 0
	}
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 1) // there may be NULLs
	b = binary.BigEndian.AppendUint32(b, elementType)
	if dimensions == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(elements))) //nolint:gosec // bounded by what fits in a message
	b = binary.BigEndian.AppendUint32(b, lowerBound)
	for _, e := range elements {
		length := uint32(len(e)) //nolint:gosec // bounded by what fits in a message
		if e == nil {
			length = 1<<32 - 1 // -1
		}
		b = append(binary.BigEndian.AppendUint32(b, length), e...)
	}
	return b
}

// integer reads an integer of any size.
func integer(b []byte) (int64, error) {
	switch len(b) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b))), nil //nolint:gosec // its two's complement
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b))), nil //nolint:gosec // its two's complement
	case 8:
		return int64(binary.BigEndian.Uint64(b)), nil //nolint:gosec // its two's complement
	}
	return 0, fmt.Errorf("%d bytes for an integer", len(b))
}

// only returns the single value of a result; nil if it has no row.
func only(result *pgconn.Result) []byte {
	if len(result.Rows) == 0 || len(result.Rows[0]) == 0 {
		return nil
	}
	return result.Rows[0][0]
}

func truth(b []byte) bool { return len(b) == 1 && b[0] == 1 }
