package kubernetes

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error { return c.server().CheckFiles() }
