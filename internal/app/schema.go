package app

import (
	"reflect"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/rule"
	"dex/internal/schema"
)

// Schema returns a JSON Schema of the configuration file.
func Schema() ([]byte, error) {
	parts := schema.Parts{
		Client: client.Written(), User: local.Written(), Connector: federation.Written(),
		Connectors: map[string]reflect.Type{}, Storages: map[string]reflect.Type{},
		Choices: map[string][]string{
			"connectors[].type":                    federation.Types(),
			"staticClients[].refreshTokenLifetime": client.RefreshTokenLifetimes,
			"staticClients[].groups.case":          rule.Cases,
			"connectors[].groups.case":             rule.Cases,
			"staticClients[].tokens.accessToken":   config.AccessTokens,
		},
	}
	for _, name := range federation.Types() {
		if settings, ok := federation.NewConfig(name); ok {
			parts.Connectors[name] = reflect.TypeOf(settings).Elem()
		}
	}
	for _, name := range config.StorageTypes {
		parts.Storages[name] = reflect.TypeOf(newBackend(name).settings).Elem()
	}
	return schema.JSON(parts)
}
