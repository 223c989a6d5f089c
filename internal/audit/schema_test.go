package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.opentelemetry.io/otel/trace"

	"dex/internal/event"
	"dex/internal/oauth"
	"dex/internal/telemetry"
)

// schemaOf returns a schema as a library reads it.
func schemaOf(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaID, document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// Whatever an event holds, its records follow the schema; and all that the schema knows can come.
func TestEveryEventFollowsTheSchema(t *testing.T) {
	schema := schemaOf(t, Schema())
	shown := map[string]bool{}
	for _, mode := range []PersonalData{Full, Hashed, None} {
		for i, line := range recordsOfEveryEvent(t, mode) {
			record, err := jsonschema.UnmarshalJSON(strings.NewReader(line.text))
			if err == nil {
				err = schema.Validate(record)
			}
			if err != nil {
				t.Fatalf("%s: record %d, of %s: %v\n%s", mode, i, line.event, err, line.text)
			}
			if len(line.text) > maxLine/4 {
				t.Errorf("%s: a record of %s has %d bytes", mode, line.event, len(line.text))
			}
			if mode == Full {
				note(shown, "", record)
			}
		}
	}
	var known any
	if err := json.Unmarshal(Schema(), &known); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	membersOf(want, "", known.(map[string]any))
	for _, w := range Types {
		want["type="+w.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !shown[name] {
			t.Errorf("the schema has %s, and no event makes a record with it", name)
		}
	}
}

// note remembers which members a record has, and its type.
func note(shown map[string]bool, path string, value any) {
	members, _ := value.(map[string]any)
	for name, member := range members {
		at := strings.TrimPrefix(path+"."+name, ".")
		shown[at] = true
		if at == "type" {
			shown[fmt.Sprintf("type=%v", member)] = true
		}
		note(shown, at, member)
	}
}

// membersOf names the members in a schema of objects.
func membersOf(found map[string]bool, path string, schema map[string]any) {
	members, _ := schema["properties"].(map[string]any)
	for name, member := range members {
		at := strings.TrimPrefix(path+"."+name, ".")
		found[at] = true
		membersOf(found, at, member.(map[string]any))
	}
}

// A told line is a line of an audit, and the event that it is about.
type told struct{ event, text string }

// recordsOfEveryEvent writes an audit of all that package event declares, with all sorts of contents.
func recordsOfEveryEvent(t *testing.T, mode PersonalData) (lines []told) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	a, err := Open(Config{Key: testKey, PersonalData: mode, Version: "v1", Outputs: []Output{toFile(path)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	request := telemetry.WithRequestBy(t.Context(), "a request", "192.0.2.1", "a browser \x1b[31m"+strings.Repeat("\u0085", 1000))
	request = trace.ContextWithSpanContext(request, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}}))
	lines = []told{{event: "Open"}}
	constants := constantsOfEvents(t)
	for _, name := range declaredEvents(t) {
		for _, e := range variants(decidedTypes[name].event, constants) {
			a.Emit(request, e)
			records, _ := recordsOf(e)
			for range records {
				lines = append(lines, told{event: fmt.Sprintf("%s %.300s", name, fmt.Sprintf("%+v", e))})
			}
		}
		eventually(t, "the records are written", func() bool { return a.outlets[0].left() == 0 })
	}
	a.outlets[0].mu.Lock()
	a.outlets[0].lose(time.Now().UTC())
	a.outlets[0].mu.Unlock()
	lines = append(lines, told{event: "a loss"}, told{event: "Close"})
	closed(t, a)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	written := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(written) != len(lines) {
		t.Fatalf("%d records, want %d", len(written), len(lines))
	}
	for i := range written {
		lines[i].text = written[i]
	}
	wantWhole(t, len(lines), path)
	return lines
}

// constantsOfEvents returns the values that package event declares for its types, by the name of the type.
func constantsOfEvents(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../event/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, d := range declarations(t, files...) {
		group, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			constant, ok := spec.(*ast.ValueSpec)
			if !ok || len(constant.Values) != 1 {
				continue
			}
			kind, named := constant.Type.(*ast.Ident)
			value, literal := constant.Values[0].(*ast.BasicLit)
			if named && literal {
				found[kind.Name] = append(found[kind.Name], strings.Trim(value.Value, `"`))
			}
		}
	}
	return found
}

// A refused error has a word for why it refuses.
type refused string

func (r refused) Error() string         { return "refused: " + string(r) }
func (r refused) RefusalReason() string { return string(r) }

// variants returns an event as it is, with every field filled, and with each field in turn at each of its values.
func variants(sample event.Event, constants map[string][]string) []event.Event {
	made := []event.Event{sample}
	full := func() reflect.Value {
		v := reflect.New(reflect.TypeOf(sample)).Elem()
		for _, leaf := range leaves(v) {
			leaf.Set(valuesOf(leaf.Type(), constants)[0])
		}
		return v
	}
	made = append(made, full().Interface().(event.Event))
	for i, leaf := range leaves(full()) {
		for _, value := range valuesOf(leaf.Type(), constants) {
			v := full()
			leaves(v)[i].Set(value)
			made = append(made, v.Interface().(event.Event))
		}
	}
	return made
}

// leaves returns the fields of a struct and of those in it.
func leaves(v reflect.Value) (all []reflect.Value) {
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]() {
			all = append(all, leaves(f)...)
		} else {
			all = append(all, f)
		}
	}
	return all
}

// valuesOf returns values for fields of a type, the first of which is an ordinary one.
func valuesOf(of reflect.Type, constants map[string][]string) (values []reflect.Value) {
	add := func(all ...any) {
		for _, value := range all {
			values = append(values, reflect.ValueOf(value).Convert(of))
		}
	}
	hostile := strings.Repeat("\x01\xff\u2028\u009b\"é", 500)
	switch {
	case len(constants[of.Name()]) > 0 && of.PkgPath() != "":
		for _, constant := range constants[of.Name()] {
			add(constant)
		}
	case of == reflect.TypeFor[time.Time]():
		add(time.Date(2026, 3, 2, 8, 15, 4, 0, time.FixedZone("", 3600)), time.Time{})
	case of == reflect.TypeFor[error]():
		for _, err := range []error{errors.New("no"), refused("limit"), refused("policy_group_missing"), refused("unavailable")} {
			values = append(values, reflect.ValueOf(&err).Elem())
		}
		values = append(values, reflect.Zero(of))
	case of.Kind() == reflect.String: // also what codes and grants are
		add("a text", "", hostile, oauth.InvalidGrant, oauth.GrantRefreshToken)
	case of.Kind() == reflect.Slice:
		values = append(values, reflect.ValueOf([]string{"a", "b (c)"}), reflect.Zero(of), reflect.ValueOf(slices.Repeat([]string{hostile}, 2*maxItems)))
	case of.Kind() == reflect.Bool:
		add(false, true)
	default: // numbers
		add(1, 0, 2, 403, 404, 413, 429, 500, 503)
	}
	return values
}

// The members that docs/audit.md explains are those of the schema, and its example is a record.
func TestDocumentedMembers(t *testing.T) {
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	_, table, _ := strings.Cut(page, "| Member | |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for row := range strings.Lines(table) {
		names, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(names, -1) {
			documented = append(documented, name[1])
		}
	}
	var schema struct{ Properties map[string]any }
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	slices.Sort(documented)
	if want := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(documented, want) {
		t.Errorf("docs/audit.md explains\n%v\nwant\n%v", documented, want)
	}
	_, example, _ := strings.Cut(page, "```json\n")
	example, _, _ = strings.Cut(example, "\n```")
	whole := strings.NewReplacer("9c1e...", strings.Repeat("9c1e", 16), "41d7...", strings.Repeat("41d7", 16)).Replace(example)
	record, err := jsonschema.UnmarshalJSON(strings.NewReader(whole))
	if err == nil {
		err = schemaOf(t, Schema()).Validate(record)
	}
	if err != nil {
		t.Errorf("the example is no record: %v\n%s", err, example)
	}
}
