// Package telemetry is what an operator sees of the running program: its log, its metrics and its health.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// NewLogger returns a logger that writes lines of text, or of JSON if format is "json" in upper or lower case. A line logged
// with a request's context ends with client_remote_addr and request_id, and with trace_id while traces are recorded. Attributes and whole groups whose key is in exclude
// are left out, at any depth; time, level and msg always stay. Long texts and lists are cut, and their length is added.
func NewLogger(w io.Writer, format string, level slog.Leveler, exclude []string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: replacer(exclude)}
	var lines slog.Handler = slog.NewTextHandler(w, opts)
	if strings.EqualFold(format, "json") {
		lines = slog.NewJSONHandler(escaping{w}, opts)
	}
	return slog.New(&requestHandler{lines: lines})
}

// replacer returns a [slog.HandlerOptions] ReplaceAttr.
func replacer(exclude []string) func([]string, slog.Attr) slog.Attr {
	excluded := func(key string) bool { return slices.Contains(exclude, key) }
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return a
		}
		// slog calls this for the members of a group, never for the group itself.
		if excluded(a.Key) || slices.ContainsFunc(groups, excluded) {
			return slog.Attr{}
		}
		a.Value = bounded(a.Value)
		return a
	}
}

// requestHandler appends the attributes of the context's request. They belong at the top level whatever groups a logger has
// opened, so it keeps those groups itself: lines never has one open.
type requestHandler struct {
	lines  slog.Handler
	groups []group // opened by WithGroup, the outermost first
}

type group struct {
	name  string
	attrs []slog.Attr
}

func (h *requestHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.lines.Enabled(ctx, level)
}

func (h *requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if len(h.groups) > 0 {
		r = h.nest(r)
	} else {
		r = r.Clone() // the caller's record shares its attributes
	}
	req := requestOf(ctx)
	if req.clientAddress != "" {
		r.AddAttrs(slog.String("client_remote_addr", req.clientAddress))
	}
	if req.id != "" {
		r.AddAttrs(slog.String("request_id", req.id))
	}
	if id := TraceID(ctx); id != "" {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return h.lines.Handle(ctx, r)
}

// nest returns the record with its attributes inside the open groups.
func (h *requestHandler) nest(r slog.Record) slog.Record {
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	for _, g := range slices.Backward(h.groups) {
		attrs = []slog.Attr{slog.GroupAttrs(g.name, slices.Concat(g.attrs, attrs)...)}
	}
	nested := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	nested.AddAttrs(attrs...)
	return nested
}

func (h *requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(h.groups) == 0 {
		return &requestHandler{lines: h.lines.WithAttrs(attrs)}
	}
	groups := slices.Clone(h.groups)
	innermost := &groups[len(groups)-1]
	innermost.attrs = slices.Concat(innermost.attrs, attrs)
	return &requestHandler{lines: h.lines, groups: groups}
}

func (h *requestHandler) WithGroup(name string) slog.Handler {
	if name == "" { // as slog.Handler requires
		return h
	}
	return &requestHandler{lines: h.lines, groups: append(slices.Clip(h.groups), group{name: name})}
}
