package kubernetes

import "log/slog"

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	if c.KubeConfigFile == "" {
		return nil
	}
	_, err := fromKubeConfig(c.KubeConfigFile, slog.New(slog.DiscardHandler))
	return map[string]error{"kubeConfigFile": err}
}
