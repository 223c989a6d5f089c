package federation

import (
	"log/slog"
	"net/url"
	"slices"
	"testing"

	"dex/internal/connector"
	"dex/internal/store"
	"dex/internal/telemetry"
)

// Register adds a type of connector for the time of a test.
func Register(t *testing.T, name string, settings connector.Config) {
	t.Helper()
	before := kinds
	kinds = append(slices.Clone(before), kind{name: name, settings: func() connector.Config { return settings }})
	t.Cleanup(func() { kinds = before })
}

// A Whole is a registry in use, with the pool below it.
type Whole struct {
	*Pool
	*Registry
}

// NewWhole returns the connectors of a configuration and of the storage.
func NewWhole(definitions []*Definition, s store.Store, issuer *url.URL, log *slog.Logger) *Whole {
	p := NewPool(s, issuer, log, telemetry.NewEventLog(log))
	r := p.Registry(definitions)
	p.Use(r)
	return &Whole{p, r}
}
