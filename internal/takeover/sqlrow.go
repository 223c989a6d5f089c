package takeover

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A dialect is how a type of database differs from others.
type dialect struct {
	quote string // around a name
	// tables is the query for which of some tables exist.
	tables string
	// placeholder returns the nth parameter of a statement, from 1.
	placeholder func(n int) string
	// time reads a column that holds a time.
	time func(quoted string) string
}

var (
	sqliteDialect = dialect{
		quote:       `"`,
		tables:      "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN (%s)",
		placeholder: func(int) string { return "?" },
		// Otherwise the driver would convert the text by the declared type of the column.
		time: func(quoted string) string { return "CAST(" + quoted + " AS TEXT)" },
	}
	postgresDialect = dialect{
		quote:       `"`,
		tables:      "SELECT name FROM unnest(ARRAY[%s]) AS name WHERE to_regclass(quote_ident(name)) IS NOT NULL",
		placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
		time:        func(quoted string) string { return quoted },
	}
	mysqlDialect = dialect{
		quote: "`",
		tables: "SELECT table_name FROM information_schema.tables" +
			" WHERE table_schema = DATABASE() AND table_name IN (%s)",
		placeholder: func(int) string { return "?" },
		time:        func(quoted string) string { return quoted },
	}
)

func (d dialect) name(s string) string { return d.quote + s + d.quote }

// times are the columns that hold times.
var times = []string{
	"created_at", "last_used", "next_rotation", "last_login", "blocked_until", "last_activity", "absolute_expiry", "idle_expiry",
}

func (d dialect) column(name string) string {
	if slices.Contains(times, name) {
		return d.time(d.name(name))
	}
	return d.name(name)
}

// each reads the wanted columns and the primary key of all rows of a table, in the order of the key. Columns that upstream
// added later read as NULL if the table lacks them; a missing table has no rows.
func (d *database) each(ctx context.Context, t table, wanted []string, after []any, each func(*row) error) error {
	if !d.present[t.name] {
		return nil
	}
	columns, err := d.columns(ctx, t, wanted)
	if err != nil {
		return fmt.Errorf("read table %s: %w", t.name, err)
	}
	for {
		page, err := d.page(ctx, t, columns, after)
		if err != nil {
			return fmt.Errorf("read table %s: %w", t.name, err)
		}
		for _, r := range page {
			if err := each(r); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].key(t)
	}
}

// columns returns the key and those wanted columns that the table has.
func (d *database) columns(ctx context.Context, t table, wanted []string) ([]string, error) {
	there, err := d.columnsOf(ctx, t)
	columns := slices.Clone(t.key)
	for _, c := range wanted {
		if slices.Contains(there, c) && !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	return columns, err
}

// hasKey reports whether a table exists and has the key that it is read by.
func (d *database) hasKey(ctx context.Context, t table) (bool, error) {
	if !d.present[t.name] {
		return false, nil
	}
	there, err := d.columnsOf(ctx, t)
	if err != nil {
		return false, fmt.Errorf("read table %s: %w", t.name, err)
	}
	for _, k := range t.key {
		if !slices.Contains(there, k) {
			return false, nil
		}
	}
	return true, nil
}

func (d *database) columnsOf(ctx context.Context, t table) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	there, _, err := d.query(ctx, "SELECT * FROM "+d.dialect.name(t.name)+" WHERE 1 = 0")
	return there, err
}

// page reads the rows that follow a key, all at once, so that nothing is open while the storage is written to.
func (d *database) page(ctx context.Context, t table, columns []string, after []any) ([]*row, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	text, args := d.dialect.pageOf(t, columns, after)
	_, rows, err := d.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	page := make([]*row, 0, len(rows))
	for _, values := range rows {
		r := &row{values: make(map[string]any, len(columns))}
		for i, c := range columns {
			r.values[c] = values[i]
		}
		for _, k := range t.key {
			// If the column has a collation, bytes as a parameter would be compared bytewise, without the index.
			if b, ok := r.values[k].([]byte); ok {
				r.values[k] = string(b)
			}
		}
		page = append(page, r)
	}
	return page, nil
}

// pageOf returns a statement that reads a page. It compares keys by the collation of the primary key's index, so that it can
// use the index and tells the same keys apart. For a key of two columns it compares the first one alone too, because MySQL
// finds no range otherwise.
func (d dialect) pageOf(t table, columns []string, after []any) (text string, args []any) {
	var selected, key []string
	for _, c := range columns {
		selected = append(selected, d.column(c))
	}
	for _, k := range t.key {
		key = append(key, d.name(k))
	}
	where := ""
	switch {
	case len(after) == 1:
		where = fmt.Sprintf(" WHERE %s > %s", key[0], d.placeholder(1))
		args = after
	case len(after) == 2:
		where = fmt.Sprintf(" WHERE %[1]s >= %[3]s AND (%[1]s > %[4]s OR (%[1]s = %[5]s AND %[2]s > %[6]s))",
			key[0], key[1], d.placeholder(1), d.placeholder(2), d.placeholder(3), d.placeholder(4))
		args = []any{after[0], after[0], after[0], after[1]}
	}
	return fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d",
		strings.Join(selected, ", "), d.name(t.name), where, strings.Join(key, ", "), pageSize), args
}

// A row is a row of a table. A value that can't be read sets err, and reads as empty.
type row struct {
	values map[string]any // by column; nil for NULL and for missing columns
	err    error
}

func (r *row) fail(column string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("column %s: %w", column, err)
	}
}

func (r *row) text(column string) string { return string(r.bytes(column)) }

// bytes reads a column that may be stored as bytes or as text, whatever its declared type.
func (r *row) bytes(column string) []byte {
	switch v := r.values[column].(type) {
	case nil:
		return nil
	case []byte:
		return v
	case string:
		return []byte(v)
	default:
		r.fail(column, fmt.Errorf("has a value of type %T", v))
		return nil
	}
}

// decode reads a column of JSON. An empty one leaves the target as it is.
func (r *row) decode(column string, target any) {
	data := r.bytes(column)
	if len(data) == 0 {
		return
	}
	if err := json.Unmarshal(data, target); err != nil {
		r.fail(column, err)
	}
}

func (r *row) list(column string) (l []string) {
	r.decode(column, &l)
	return l
}

// flag reads a boolean; nil for none.
func (r *row) flag(column string) *bool {
	var flag bool
	switch v := r.values[column].(type) {
	case nil:
		return nil
	case bool:
		flag = v
	case int64:
		flag = v != 0
	default:
		parsed, err := strconv.ParseBool(r.text(column))
		if err != nil {
			r.fail(column, fmt.Errorf("has a value of type %T that is neither true nor false", v))
			return nil
		}
		flag = parsed
	}
	return &flag
}

// time reads a time. Anything else is the zero time, as for upstream.
func (r *row) time(column string) time.Time {
	t, ok := r.values[column].(time.Time)
	if !ok {
		t = parseTime(r.text(column))
	}
	// Upstream writes the zero time as the first day of the year 1, or on MySQL of the year 1000 or 0.
	if t.Year() <= 1000 {
		return time.Time{}
	}
	return t.UTC()
}

// timeForms are the formats of times in SQLite databases. A fraction may follow the seconds.
var timeForms = []string{
	"2006-01-02 15:04:05-07:00", "2006-01-02 15:04-07:00", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
	"2006-01-02 15:04:05 -0700 MST",
}

func parseTime(text string) time.Time {
	if zoned, ok := strings.CutSuffix(text, "Z"); ok {
		text = zoned + "+00:00"
	}
	if date, clock, ok := strings.Cut(text, "T"); ok && len(date) == len(time.DateOnly) {
		text = date + " " + clock
	}
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

// key returns the values of the primary key.
func (r *row) key(t table) []any {
	key := make([]any, 0, len(t.key))
	for _, k := range t.key {
		key = append(key, r.values[k])
	}
	return key
}

// eachItem reads the rows of a table that follow a place, as entities.
func eachItem[T any](
	ctx context.Context, d *database, t table, after string, columns []string, read func(*row) T, each func(Item[T]) error,
) error {
	return d.each(ctx, t, columns, keyAt(t, after), func(r *row) error {
		key := r.key(t)
		return each(Item[T]{Table: t.name, Key: strings.TrimSuffix(fmt.Sprintln(key...), "\n"), Place: placeOf(key),
			Value: read(r), Err: r.err})
	})
}

// placeOf returns the place of a key. Keys may have any bytes.
func placeOf(key []any) string {
	parts := make([]string, 0, len(key))
	for _, k := range key {
		text, ok := k.(string)
		if !ok {
			return ""
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	return strings.Join(parts, ".")
}

// keyAt returns the key of a place; nil for none.
func keyAt(t table, place string) []any {
	parts := strings.Split(place, ".")
	if place == "" || len(parts) != len(t.key) {
		return nil
	}
	key := make([]any, 0, len(parts))
	for _, part := range parts {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return nil
		}
		key = append(key, string(text))
	}
	return key
}
