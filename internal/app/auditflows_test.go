package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"dex/internal/audit"
	"dex/internal/event"
)

// flows keeps an audit of what happens to the servers of all tests, for TestMain to hold to the schema.
var flows struct {
	mu    sync.Mutex
	audit *audit.Audit
	seen  map[string]bool
}

// TestMain runs the tests. Whatever happened in them, its records must follow the schema.
func TestMain(m *testing.M) {
	status, err := runAudited(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the audit of what happened in all tests:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func runAudited(m *testing.M) (status int, err error) {
	dir, err := os.MkdirTemp("", "dex-audit-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "audit.log")
	flows.seen = map[string]bool{}
	flows.audit, err = audit.Open(audit.Config{
		Version: "test", Outputs: []audit.Output{{Type: audit.File, Path: path, MaxSize: 1 << 30, MaxFiles: 1}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return 1, err
	}
	status = m.Run()
	if err := flows.audit.Close(); err != nil {
		return status, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return status, err
	}
	schema, err := recordSchema()
	if err != nil {
		return status, err
	}
	for line := range strings.Lines(string(text)) {
		record, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(record)
		}
		if err != nil {
			return status, fmt.Errorf("%w: %s", err, line)
		}
	}
	return status, nil
}

// recordSchema returns the schema of records as a library reads it.
func recordSchema() (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(audit.Schema()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:dex:schema:audit", document); err != nil {
		return nil, err
	}
	return c.Compile("urn:dex:schema:audit")
}

// inAllFlows passes events on to the audit of all tests: one of each shape, as some tests cause thousands.
var inAllFlows event.Sink = event.Func(func(ctx context.Context, e event.Event) {
	shape := fmt.Sprintf("%T%s", e, shapeOf(reflect.ValueOf(e)))
	flows.mu.Lock()
	known := flows.seen[shape]
	flows.seen[shape] = true
	flows.mu.Unlock()
	if !known {
		flows.audit.Emit(ctx, e)
	}
})

// shapeOf says which fields of an event have something, and what is in those that become a word of the audit.
func shapeOf(v reflect.Value) string {
	var shape strings.Builder
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch value := f.Interface().(type) {
		case error:
			fmt.Fprintf(&shape, " %s=%s", name, event.ReasonOf(value))
			continue
		case time.Time:
			continue
		}
		switch {
		case f.Kind() == reflect.Struct:
			shape.WriteString(shapeOf(f))
		case f.Type().PkgPath() != "" || name == "Code" || name == "Status": // one of few values
			fmt.Fprintf(&shape, " %s=%v", name, f)
		case !f.IsZero():
			shape.WriteString(" " + name)
		}
	}
	return shape.String()
}
