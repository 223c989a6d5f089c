package github

import "dex/internal/connector/connectortest"

// PublicAt returns settings for a github.com that is a fake.
func PublicAt(g *connectortest.GitHub) *Config { return &Config{public: g.URL} }

// Addresses returns where users go, and where the API is.
func (c *Config) Addresses() (web, api string) { return c.addresses() }

// Matches is matches.
var Matches = matches
