package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/kubeapi"
	"dex/internal/resource"
	"dex/internal/store"
	"dex/internal/telemetry"
)

// resourceServer says where the API server is that has the custom resources.
func resourceServer(r *config.Resources) kubeapi.Config {
	return kubeapi.Config{InCluster: r.InCluster, KubeConfigFile: r.KubeConfigFile}
}

// openResources reads the custom resources, if the configuration wants that.
func (c *Core) openResources(ctx context.Context) error {
	settings := c.cfg.Kubernetes.Resources
	if settings == nil {
		return nil
	}
	api, err := kubeapi.Connect(resourceServer(settings), c.log)
	if err != nil {
		return fmt.Errorf("kubernetes.resources: %w", err)
	}
	namespace := settings.Namespace
	if namespace == "" {
		namespace = api.Namespace()
	}
	c.resources = resource.New(resource.Config{
		API: api, Namespace: namespace, ClientNamespaces: settings.ClientNamespaces, Issuer: c.issuer, Log: c.log,
	})
	c.health.Starting("reading the custom resources")
	c.resources.Load(ctx, surroundings{c})
	return nil
}

// surroundings are what the custom resources see of the server.
type surroundings struct{ core *Core }

// plan returns the configuration in force.
func (s surroundings) plan() *Plan {
	if e := s.core.edition.Load(); e != nil {
		return e.plan
	}
	return s.core.plan // at the start
}

// PasswordDB implements resource.Surroundings.
func (s surroundings) PasswordDB() bool { return s.plan().Config.EnablePasswordDB }

// Holder implements resource.Surroundings.
func (s surroundings) Holder(ctx context.Context, kind, key string) (string, error) {
	if s.plan().configures(kind, key) {
		return "the configuration file", nil
	}
	_, err := s.core.store.Get(ctx, kind, key)
	switch {
	case err == nil:
		return "the storage", nil
	case errors.Is(err, store.ErrNotFound):
		return "", nil
	}
	return "", err
}

// ConnectorsChanged implements resource.Surroundings.
func (s surroundings) ConnectorsChanged() {
	if sources := s.core.sources; sources != nil { // the start is that far
		sources.Look()
	}
}

// configures reports whether the configuration has the record of a kind with a key.
func (p *Plan) configures(kind, key string) bool {
	switch kind {
	case client.Kind.Name():
		return slices.ContainsFunc(p.clients, func(c *client.Client) bool { return c.ID == key })
	case local.Kind.Name():
		return slices.ContainsFunc(p.users, func(u *local.User) bool { return local.Key(u.Email) == key })
	case federation.Kind.Name():
		return slices.ContainsFunc(p.connectors, func(d *federation.Definition) bool { return d.ID == key })
	}
	return false
}

// resourceConditions are the custom resources that can't be read.
func (c *Core) resourceConditions() []telemetry.Condition {
	if c.resources == nil {
		return nil
	}
	var shown []telemetry.Condition
	for _, t := range c.resources.Troubles() {
		shown = append(shown, telemetry.Condition{
			Name: t.Resource + "/" + t.Namespace, Checked: t.Checked, Err: t.Err, Failures: 1, Since: t.Since,
		})
	}
	return shown
}

// checkResources reads the files that the settings of custom resources name.
func (p *Plan) checkResources() config.Problems {
	settings := p.Config.Kubernetes.Resources
	if settings == nil {
		return nil
	}
	return checkFiles(p.Config.File.At("kubernetes.resources").Problem, resourceServer(settings))
}
