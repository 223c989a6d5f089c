package postgres

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// Tables of other programs are read with the types that Go has for their columns.
func TestQuery(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.MaxOpenConns = 1
	s := open(t, c)
	at := time.Date(2030, 1, 31, 12, 0, 0, 123000, time.UTC)
	for text, want := range map[string]any{
		"SELECT NULL::text":       nil,
		"SELECT 'a'::text":        []byte("a"),
		"SELECT ''::varchar":      []byte{},
		"SELECT '[\"a\"]'::jsonb": []byte(`["a"]`),
		"SELECT '{}'::json":       []byte("{}"),
		`SELECT '\x00ff'::bytea`:  []byte{0, 255},
		"SELECT true":             true,
		"SELECT (-7)::smallint":   int64(-7),
		"SELECT 7":                int64(7),
		"SELECT 7000000000":       int64(7000000000),
		"SELECT $1::text":         []byte("12"),
		"SELECT $1::bigint + 1":   int64(13),
		"SELECT '2030-01-31 13:00:00.000123+01'::timestamptz": at,
		"SELECT '2030-01-31 12:00:00.000123'::timestamp":      at,
		"SELECT 'infinity'::timestamptz":                      time.Time{},
	} {
		var args []any
		if bytes.Contains([]byte(text), []byte("$1")) {
			args = []any{12}
		}
		if got := ask(t, s, text, args...); fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", want, want) {
			t.Errorf("%s: got %T %v, want %T %v", text, got, got, want, want)
		}
	}
	// The only connection is of use after each mistake.
	for _, text := range []string{"SELECT point(1, 2) FROM generate_series(1, 3)", "SELECT nothing", "SELEC"} {
		if _, _, err := s.Query(t.Context(), text); err == nil {
			t.Errorf("%s: no error", text)
		}
		create(t, s, "client", text)
	}
}
