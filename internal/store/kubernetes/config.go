package kubernetes

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"dex/internal/kubeapi"
)

// Config says where the API server is. Exactly one of InCluster and KubeConfigFile must be set.
type Config struct {
	// InCluster takes the address and the credentials that a pod gets from its service account.
	InCluster bool `key:"inCluster"`
	// KubeConfigFile is the path of a configuration file as kubectl has.
	KubeConfigFile string `key:"kubeConfigFile"`
	// CRDHandling is what to do when definitions of custom resources are missing: CRDEnsure, the default, or CRDCheck.
	CRDHandling string `key:"crdHandling"`
}

// Values of Config.CRDHandling.
const (
	CRDEnsure = "ensure" // creates them
	CRDCheck  = "check"  // reports them, and does not start
)

// Mistakes returns what is wrong with the configuration and what is allowed, by the dotted key of the setting; the empty
// key is the section as a whole.
func (c *Config) Mistakes() map[string]string {
	found := make(map[string]string)
	if mistake := c.server().Mistake(); mistake != "" {
		found[""] = mistake
	}
	switch c.CRDHandling {
	case "", CRDEnsure, CRDCheck:
	default:
		found["crdHandling"] = fmt.Sprintf("unknown value %q; must be %s or %s", c.CRDHandling, CRDEnsure, CRDCheck)
	}
	return found
}

// check returns the mistakes as one error.
func (c *Config) check() error {
	mistakes := c.Mistakes()
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(mistakes)) {
		prefix := ""
		if key != "" {
			prefix = key + ": "
		}
		errs = append(errs, errors.New(prefix+mistakes[key]))
	}
	return errors.Join(errs...)
}

func (c *Config) server() kubeapi.Config {
	return kubeapi.Config{InCluster: c.InCluster, KubeConfigFile: c.KubeConfigFile}
}
