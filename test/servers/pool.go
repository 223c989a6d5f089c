package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Kinds are the storage types with servers.
var Kinds = []string{"postgres", "mysql", "etcd", "kubernetes"}

// A Pool starts each server at its first use, and gives every caller an empty storage on it. It is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex // held while a server starts: starting others meanwhile would slow it down
	started map[string]*started
	close   []func() error
}

// A started server. Fresh creates an empty storage on it, and returns its section of a configuration.
type started struct {
	fresh      func(context.Context) (string, error)
	stop       func() error
	process    func() *process
	kubernetes *Kubernetes // nil for other kinds
}

// Storage returns the `storage` section of a configuration, as JSON, for an empty storage of a kind.
func (p *Pool) Storage(ctx context.Context, kind string) (string, error) {
	s, err := p.server(ctx, kind)
	if err != nil {
		return "", err
	}
	text, err := s.fresh(ctx)
	if err != nil {
		return "", err
	}
	var config struct {
		Storage map[string]any `yaml:"storage"`
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return "", fmt.Errorf("configuration of %s: %w", kind, err)
	}
	section, err := json.Marshal(config.Storage)
	return string(section), err
}

// Kubernetes returns the API server that the storages of that kind are on.
func (p *Pool) Kubernetes(ctx context.Context) (*Kubernetes, error) {
	s, err := p.server(ctx, "kubernetes")
	if err != nil {
		return nil, err
	}
	return s.kubernetes, nil
}

func (p *Pool) server(ctx context.Context, kind string) (*started, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.started[kind]; ok {
		return s, nil
	}
	s, err := start(ctx, kind)
	if err != nil {
		return nil, err
	}
	if p.started == nil {
		p.started = make(map[string]*started)
	}
	p.started[kind] = s
	p.close = append(p.close, s.stop)
	return s, nil
}

func start(ctx context.Context, kind string) (*started, error) {
	switch kind {
	case "postgres":
		s, err := StartPostgres(ctx)
		if err != nil {
			return nil, err
		}
		return &started{fresh: configOf(s.NewDatabase), stop: s.Close, process: func() *process { return s.process }}, nil
	case "mysql":
		s, err := StartMariaDB(ctx)
		if err != nil {
			return nil, err
		}
		return &started{fresh: configOf(s.NewDatabase), stop: s.Close, process: func() *process { return s.process }}, nil
	case "etcd":
		s, err := StartEtcd(ctx)
		if err != nil {
			return nil, err
		}
		return &started{fresh: configOf(s.NewNamespace), stop: s.Close, process: func() *process { return s.process }}, nil
	case "kubernetes":
		s, err := StartKubernetes(ctx)
		if err != nil {
			return nil, err
		}
		return &started{fresh: configOf(s.NewNamespace), stop: s.Close, process: func() *process { return s.process }, kubernetes: s}, nil
	}
	return nil, fmt.Errorf("there is no server for storage %q", kind)
}

// configOf returns the configuration of what a function creates.
func configOf[D interface{ Config() string }](fresh func(context.Context) (D, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		d, err := fresh(ctx)
		if err != nil {
			return "", err
		}
		return d.Config(), nil
	}
}

// Close stops all servers, the last one first.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for i := len(p.close) - 1; i >= 0; i-- {
		errs = append(errs, p.close[i]())
	}
	p.started, p.close = nil, nil
	return errors.Join(errs...)
}
