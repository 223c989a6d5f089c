package kubeapi

import (
	"errors"
	"log/slog"
	"net/http"
)

// Config says where the API server is. Exactly one of the two must be set.
type Config struct {
	InCluster      bool   // the address and the credentials that a pod gets from its service account
	KubeConfigFile string // the path of a configuration file as kubectl has
}

// Mistake returns what is wrong with the configuration; empty for nothing.
func (c Config) Mistake() string {
	switch {
	case c.InCluster && c.KubeConfigFile != "":
		return "cannot specify both inCluster and kubeConfigFile; keep one of them"
	case !c.InCluster && c.KubeConfigFile == "":
		return "must specify either inCluster: true or kubeConfigFile"
	}
	return ""
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c Config) CheckFiles() map[string]error {
	if c.KubeConfigFile == "" {
		return nil
	}
	_, err := fromKubeConfig(c.KubeConfigFile, slog.New(slog.DiscardHandler))
	return map[string]error{"kubeConfigFile": err}
}

// An Option changes something for a program that embeds or tests a client.
type Option func(*options)

type options struct {
	serviceAccount string
	wrap           func(http.RoundTripper) http.RoundTripper
}

// ServiceAccount names another folder of the service account than that of a pod.
func ServiceAccount(folder string) Option { return func(o *options) { o.serviceAccount = folder } }

// Transport puts something between the client and the network, to count requests or to fail them.
func Transport(wrap func(http.RoundTripper) http.RoundTripper) Option {
	return func(o *options) { o.wrap = wrap }
}

// Connect returns a client for what a configuration describes. It reads files, and sends nothing yet.
func Connect(c Config, log *slog.Logger, opts ...Option) (*Client, error) {
	var o options
	for _, option := range opts {
		option(&o)
	}
	connection, err := c.connection(o, log)
	if err != nil {
		return nil, err
	}
	return connection.client(o.wrap), nil
}

// connection reads the configuration that c refers to.
func (c Config) connection(o options, log *slog.Logger) (*connection, error) {
	if mistake := c.Mistake(); mistake != "" {
		return nil, errors.New(mistake)
	}
	if c.InCluster {
		return inCluster(o.serviceAccount, log)
	}
	return fromKubeConfig(c.KubeConfigFile, log)
}
