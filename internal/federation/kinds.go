package federation

import (
	"dex/internal/connector"
	"dex/internal/connector/mock"
)

// kinds is every type of connector that can be configured, with its settings.
var kinds = map[string]func() connector.Config{
	"mockCallback": func() connector.Config { return &mock.CallbackConfig{} },
	"mockPassword": func() connector.Config { return &mock.PasswordConfig{} },
}

// NewConfig returns empty settings for a type of connector, to be decoded into; false when the type is not to be had.
func NewConfig(kind string) (connector.Config, bool) {
	make, ok := kinds[kind]
	if !ok {
		return nil, false
	}
	return make(), true
}
