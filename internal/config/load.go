// Package config reads the server's configuration: the file, the feature flags of the environment, and the addresses on the
// command line. It checks everything that these can tell before anything is touched, and reports all problems at once, each
// with its place in the file. Clients, users and connectors are read by their own rooms.
package config

import "cmp"

// A Source is what a configuration is made of.
type Source struct {
	Name string // of the file, for messages
	Data []byte
	// Lines has, for each line of Data, the line of the file that it was made from; nil if Data is the file.
	Lines []int
	Env   Environment // nil means that no variable is set
	// Files reads the files that hold texts of settings; nil means that they can't be read.
	Files *Files

	Overrides Overrides
}

// Overrides are the command-line flags that replace settings of the file; an empty one isn't given.
type Overrides struct {
	WebHTTP       string // --web-http-addr
	WebHTTPS      string // --web-https-addr
	TelemetryHTTP string // --telemetry-addr
	GRPCAddr      string // --grpc-addr
}

// Load reads and checks a configuration. If a problem is an error, the Config has what could be read, so that other rooms can
// check their parts, and must not be used. It is nil if nothing could be read.
func (s Source) Load() (*Config, Problems) {
	flags, found := readFlags(s.Env)
	root, syntax := s.parse()
	found = append(found, syntax...)
	if found.HasErrors() {
		return nil, found.InOrder()
	}

	// Zero means no reuse, and false means off, so these defaults must be set before the file is read.
	cfg := &Config{Flags: flags}
	cfg.Expiry.RefreshTokens.ReuseInterval = DefaultReuseInterval
	cfg.Frontend.RememberConnector, cfg.Frontend.FormOnChoice = true, true

	file := Section{setting: rootSetting(root), reading: reading{
		file: s.Name, strict: flags.DisallowUnknownFields, env: s.Env, files: cmp.Or(s.Files, &Files{}), expand: flags.ExpandEnv, broken: map[string]bool{},
	}}
	decoded := file.Decode(cfg)
	found = append(found, decoded...)
	if !file.IsMapping() {
		return nil, found.InOrder()
	}
	cfg.File = file
	given := s.Overrides.apply(cfg)
	found = append(found, validate(cfg, file, s.Env, given, decoded)...)
	cfg.setDefaults(s.Env)
	return cfg, found.InOrder()
}

// apply replaces the addresses that are on the command line, and returns the flag for each replaced key.
func (o Overrides) apply(cfg *Config) map[string]string {
	given := map[string]string{}
	for _, override := range []struct {
		flag, value, key string
		target           *string
	}{
		{"--web-http-addr", o.WebHTTP, "web.http", &cfg.Web.HTTP},
		{"--web-https-addr", o.WebHTTPS, "web.https", &cfg.Web.HTTPS},
		{"--telemetry-addr", o.TelemetryHTTP, "telemetry.http", &cfg.Telemetry.HTTP},
		{"--grpc-addr", o.GRPCAddr, "grpc.addr", &cfg.GRPC.Addr},
	} {
		if override.value != "" {
			*override.target = override.value
			given[override.key] = override.flag
		}
	}
	return given
}
