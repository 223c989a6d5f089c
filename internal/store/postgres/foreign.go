package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Query reads other tables in the database, on a connection of the store. Texts, JSON and bytes come as []byte, numbers as int64,
// truth as bool and times as time.Time, NULL as nil. All rows come at once, so a statement has to bound how many there are.
// Arguments are sent as texts, which the server reads as the types that the statement has for them.
func (s *Store) Query(ctx context.Context, text string, args ...any) (columns []string, rows [][]any, err error) {
	r, err := s.pool.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.pool.release(r)
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(fmt.Sprint(a))
	}
	reader := r.Value().ExecParams(ctx, text, values, nil, nil, inBinary)
	for _, f := range reader.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	var mistake error
	for reader.NextRow() {
		row := make([]any, len(columns))
		for i, b := range reader.Values() {
			if row[i], err = decode(reader.FieldDescriptions()[i].DataTypeOID, b); err != nil {
				mistake = fmt.Errorf("column %s: %w", columns[i], err) // the rest is read, so that the connection can be used again
			}
		}
		rows = append(rows, row)
	}
	if _, err := reader.Close(); err != nil {
		return nil, nil, err
	}
	return columns, rows, mistake
}

// decode returns a value of a type that is known by its OID.
func decode(oid uint32, b []byte) (any, error) {
	if b == nil {
		return nil, nil
	}
	switch oid {
	case typeBytea, typeText, typeVarchar, typeBpchar, typeJSON:
		return append([]byte{}, b...), nil
	case typeJSONB:
		if len(b) == 0 || b[0] != 1 {
			return nil, errors.New("an unknown form of JSON")
		}
		return append([]byte{}, b[1:]...), nil
	case typeBool:
		return truth(b), nil
	case typeInt2, typeInt4, typeInt8:
		return integer(b)
	case typeTimestamp, typeTimestamptz:
		return moment(b)
	}
	return nil, fmt.Errorf("values of the type with OID %d can't be read", oid)
}

// moment reads a time, which is stored as microseconds. Those before and after all others are the zero time.
func moment(b []byte) (time.Time, error) {
	n, err := integer(b)
	if err != nil || n == math.MinInt64 || n == math.MaxInt64 {
		return time.Time{}, err
	}
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return time.UnixMicro(begin.UnixMicro() + n).UTC(), nil
}
