// Package audit keeps a record of what has happened to people, applications and what operators have changed: a stream of JSON lines,
// chained by hashes, to one or several outputs.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"dex/internal/event"
	"dex/internal/telemetry"
)

// Config is how the audit is kept.
type Config struct {
	PersonalData PersonalData
	// Key makes the chain one that only holders of the key can make, and what stands for personal data. At least MinKey bytes; empty
	// for none, which Hashed can't do without.
	Key     []byte
	Outputs []Output
	// Required has Blocked tell of outputs that can't take records.
	Required bool
	Version  string // of the program
}

// An Output is a place that records go to. Which fields count depends on the type.
type Output struct {
	Type string // Stdout, File, Syslog or OTLP

	Path     string // File
	MaxSize  int64  // File: in bytes, before it is rotated
	MaxFiles int    // File: how many rotated ones are kept

	Address  string // Syslog: a URL with the scheme unix, udp, tcp or tls
	RootCA   string // Syslog with tls, and OTLP: path of a PEM file; empty means the system's authorities
	Facility int    // Syslog
	AppName  string // Syslog

	Endpoint string            // OTLP: a URL
	Headers  map[string]string // OTLP
}

// The types of outputs.
const (
	Stdout = "stdout"
	File   = "file"
	Syslog = "syslog"
	OTLP   = "otlp"
)

// An Audit is the subscriber to events that keeps the record of them. A nil Audit keeps none.
type Audit struct {
	privacy  privacy
	required bool
	outlets  []*outlet
}

// closeTimeout bounds how long Close waits for outputs.
const closeTimeout = 5 * time.Second

// Open begins the streams. It fails only where no try can help, such as a file in a folder that doesn't exist; whatever is elsewhere
// is waited for while records are queued. Close must be called at the end.
func Open(cfg Config, log *slog.Logger) (*Audit, error) {
	chained, err := chainKey(cfg.Key)
	if err != nil {
		return nil, err
	}
	a := &Audit{privacy: privacy{mode: cfg.PersonalData}, required: cfg.Required}
	if cfg.PersonalData == Hashed {
		if a.privacy.key, err = derive(cfg.Key, "personal data"); err != nil {
			return nil, err
		}
	}
	var outputs []output
	for i, o := range cfg.Outputs {
		out, err := open(o, log)
		if err != nil {
			return nil, fmt.Errorf("audit.outputs[%d]: %w", i, err)
		}
		outputs = append(outputs, out)
	}
	names := map[string]int{}
	for i, out := range outputs {
		kind := cfg.Outputs[i].Type
		name := kind
		if names[kind]++; names[kind] > 1 {
			name = fmt.Sprintf("%s-%d", kind, names[kind])
		}
		o := newOutlet(name, out, chained, log)
		o.push(encode(&Record{Time: time.Now().UTC(), Type: AuditStarted, Outcome: Success, Actor: byServer(), Output: kind, Server: cfg.Version}))
		a.outlets = append(a.outlets, o)
		go o.run()
	}
	return a, nil
}

func open(o Output, log *slog.Logger) (output, error) {
	switch o.Type {
	case Stdout:
		f, err := duplicate(os.Stdout)
		if err != nil {
			return nil, err
		}
		return &stream{w: f}, nil
	case File:
		return openFile(o, log)
	case Syslog:
		return newSyslog(o)
	case OTLP:
		return newOTLP(o)
	}
	return nil, fmt.Errorf("there is no output of the type %q", o.Type)
}

// Emit implements event.Sink. It waits for no output.
func (a *Audit) Emit(ctx context.Context, e event.Event) {
	if a == nil {
		return
	}
	records, _ := recordsOf(e)
	for _, r := range records {
		r.Time = time.Now().UTC()
		r.Address, r.UserAgent = telemetry.ClientAddress(ctx), telemetry.UserAgent(ctx)
		r.Request, r.Trace = telemetry.RequestID(ctx), telemetry.TraceID(ctx)
		a.privacy.apply(r) // first: of lists, bound says how many names it has left out
		r.bound()
		line := encode(r)
		for _, o := range a.outlets {
			o.push(line)
		}
	}
}

// encode returns a record as JSON.
func encode(r *Record) entry {
	body, err := json.Marshal(r)
	if err != nil { // no member can fail
		body = []byte(`{"type":"audit.lost","outcome":"failure","reason":"server_error","count":1}`)
	}
	body = telemetry.EscapeControls(body)
	return entry{body: body, meta: meta{at: r.Time, kind: r.Type, failed: r.Outcome == Failure, trace: r.Trace}}
}

// Blocked returns an error if records must not be lost, and an output can't take any at the moment: nothing that has to be recorded
// should be done then.
func (a *Audit) Blocked() error {
	if a == nil || !a.required {
		return nil
	}
	for _, o := range a.outlets {
		if o.blocked() {
			return fmt.Errorf("the audit is required, and its output %s takes no records", o.name)
		}
	}
	return nil
}

// Required reports whether records must not be lost.
func (a *Audit) Required() bool { return a != nil && a.required }

// Conditions returns how the outputs fare, for the health.
func (a *Audit) Conditions() []telemetry.Condition {
	if a == nil {
		return nil
	}
	var shown []telemetry.Condition
	for _, o := range a.outlets {
		shown = append(shown, o.condition())
	}
	return shown
}

// Close ends the streams. It waits a few seconds at most for outputs to take what is queued.
func (a *Audit) Close() error {
	if a == nil {
		return nil
	}
	errs := make([]error, len(a.outlets))
	var ending sync.WaitGroup
	for i, o := range a.outlets {
		ending.Go(func() { errs[i] = o.close(closeTimeout) })
	}
	ending.Wait()
	return errors.Join(errs...)
}
