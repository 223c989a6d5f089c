package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.uber.org/goleak"

	"dex/internal/event"
	"dex/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogLines(t *testing.T) {
	inRequest := telemetry.WithRequest(context.Background(), "the-id", "203.0.113.9")
	for _, tc := range []struct {
		name    string
		exclude []string
		log     func(l *slog.Logger)
		text    string // after level=INFO
		json    string // the same, without time
	}{
		{
			"outside of a request", nil,
			func(l *slog.Logger) { l.Info("hello world", "a", 1) },
			`msg="hello world" a=1`,
			`{"level":"INFO","msg":"hello world","a":1}`,
		},
		{
			"in a request", nil,
			func(l *slog.Logger) { l.With("b", 2).InfoContext(inRequest, "hello", "a", 1) },
			`msg=hello b=2 a=1 client_remote_addr=203.0.113.9 request_id=the-id`,
			`{"level":"INFO","msg":"hello","b":2,"a":1,"client_remote_addr":"203.0.113.9","request_id":"the-id"}`,
		},
		{
			"an address that isn't known", nil,
			func(l *slog.Logger) {
				l.InfoContext(telemetry.WithRequest(context.Background(), "the-id", ""), "hello")
			},
			`msg=hello request_id=the-id`,
			`{"level":"INFO","msg":"hello","request_id":"the-id"}`,
		},
		{
			"a group of attributes", nil,
			func(l *slog.Logger) {
				l.With(slog.Group("connector", "id", "ldap")).InfoContext(inRequest, "hello", "a", 1)
			},
			`msg=hello connector.id=ldap a=1 client_remote_addr=203.0.113.9 request_id=the-id`,
			`{"level":"INFO","msg":"hello","connector":{"id":"ldap"},"a":1,"client_remote_addr":"203.0.113.9","request_id":"the-id"}`,
		},
		{
			"open groups", nil,
			func(l *slog.Logger) {
				l.With("b", 2).WithGroup("g").With("c", 3).WithGroup("").WithGroup("h").With("d", 4).InfoContext(inRequest, "hello", "a", 1)
			},
			`msg=hello b=2 g.c=3 g.h.d=4 g.h.a=1 client_remote_addr=203.0.113.9 request_id=the-id`,
			`{"level":"INFO","msg":"hello","b":2,"g":{"c":3,"h":{"d":4,"a":1}},"client_remote_addr":"203.0.113.9","request_id":"the-id"}`,
		},
		{
			"an open group without attributes", nil,
			func(l *slog.Logger) { l.WithGroup("g").Info("hello") },
			`msg=hello`,
			`{"level":"INFO","msg":"hello"}`,
		},
		{
			"excluded keys", []string{"email", "request_id", "b", "msg", "level", "time"},
			func(l *slog.Logger) {
				l.With("b", 2).InfoContext(inRequest, "hello", "email", "a@b.c", "Email", "kept")
			},
			`msg=hello Email=kept client_remote_addr=203.0.113.9`,
			`{"level":"INFO","msg":"hello","Email":"kept","client_remote_addr":"203.0.113.9"}`,
		},
		{
			"excluded in groups", []string{"email"},
			func(l *slog.Logger) {
				l.WithGroup("user").Info("hello", "email", "a@b.c", "id", 1, slog.Group("more", "email", "a@b.c", "name", "n"))
			},
			`msg=hello user.id=1 user.more.name=n`,
			`{"level":"INFO","msg":"hello","user":{"id":1,"more":{"name":"n"}}}`,
		},
		{
			"excluded groups", []string{"connector"},
			func(l *slog.Logger) {
				l.With(slog.Group("connector", "id", "ldap", slog.Group("in", "x", 1))).WithGroup("connector").Info("hello", "a", 1)
			},
			`msg=hello`,
			`{"level":"INFO","msg":"hello"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			tc.log(telemetry.NewLogger(&out, "Text", slog.LevelInfo, tc.exclude))
			if _, got, _ := strings.Cut(strings.TrimSpace(out.String()), " level=INFO "); got != tc.text {
				t.Errorf("text\n%s\nwant\n%s", got, tc.text)
			}
			out.Reset()
			tc.log(telemetry.NewLogger(&out, "JSON", slog.LevelInfo, tc.exclude))
			var line map[string]json.RawMessage
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			prefix := `{"time":` + string(line["time"]) + `,`
			if got := strings.Replace(strings.TrimSpace(out.String()), prefix, "{", 1); got != tc.json {
				t.Errorf("JSON\n%s\nwant\n%s", got, tc.json)
			}
		})
	}
}

func TestLogLevel(t *testing.T) {
	var out bytes.Buffer
	var level slog.LevelVar
	l := telemetry.NewLogger(&out, "text", &level, nil)
	l.Debug("quiet")
	level.Set(slog.LevelDebug)
	l.Debug("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "level=DEBUG msg=loud") {
		t.Error(got)
	}
}

func TestLoggersDontShareAttributes(t *testing.T) {
	var out bytes.Buffer
	base := telemetry.NewLogger(&out, "text", slog.LevelInfo, nil).WithGroup("g").With("a", 1)
	one, two := base.With("b", 2), base.With("c", 3)
	one.WithGroup("h").Info("one", "x", 1)
	two.Info("two")
	for _, want := range []string{"msg=one g.a=1 g.b=2 g.h.x=1\n", "msg=two g.a=1 g.c=3\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, out.String())
		}
	}
}

func TestRecordsAreNotChanged(t *testing.T) {
	var out bytes.Buffer
	h := telemetry.NewLogger(&out, "text", slog.LevelInfo, nil).Handler()
	ctx := telemetry.WithRequest(t.Context(), "the-id", "203.0.113.9")
	for n := range 16 { // some of these leave room in the record, which its copies share
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "hello", 0)
		for range n {
			r.AddAttrs(slog.Int("a", 1))
		}
		for range 2 {
			if err := h.Handle(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if strings.Contains(out.String(), "BUG") { // how slog reports it
		t.Error(out.String())
	}
}

func TestRequestOfContext(t *testing.T) {
	ctx := telemetry.WithRequest(t.Context(), "the-id", "203.0.113.9")
	if telemetry.RequestID(ctx) != "the-id" || telemetry.ClientAddress(ctx) != "203.0.113.9" {
		t.Error("the context forgot its request")
	}
	if telemetry.RequestID(t.Context()) != "" || telemetry.ClientAddress(t.Context()) != "" {
		t.Error("a context without a request has one")
	}
}

// What strangers send can't tell a terminal anything that shows the log, in either format.
func TestControlCharactersInTheLog(t *testing.T) {
	t.Parallel()
	sent := "a\u009b31m\u0085\x7f\x1b[2J\r\n\u2028\xff"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, format, slog.LevelInfo, nil)
		telemetry.NewEventLog(log).Emit(t.Context(), event.UnknownClient{ClientID: sent})
		shown := strings.TrimSuffix(out.String(), "\n")
		if at := strings.IndexFunc(shown, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' }); at >= 0 {
			t.Errorf("%s: a control character at %d of %q", format, at, shown)
		}
		if read := struct {
			ClientID string `json:"client_id"`
		}{}; format == "json" && (json.Unmarshal(out.Bytes(), &read) != nil || read.ClientID != strings.ToValidUTF8(sent, "\uFFFD")) {
			t.Errorf("read %q", read.ClientID)
		}
	}
}
