package crowd_test

import (
	"net/http"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// Temporary and permanent failures were reported alike.
var _ = faulttest.Add("C-14", func(t *testing.T) {
	for name, c := range map[string]struct {
		edit     func(s *server)
		settings object
		want     connector.Outcome
	}{
		"as usual":          {func(*server) {}, nil, connector.Succeeded},
		"down":              {func(s *server) { s.Close() }, nil, connector.Unavailable},
		"restarting":        {func(s *server) { s.status = http.StatusServiceUnavailable }, nil, connector.Unavailable},
		"too many requests": {func(s *server) { s.status = http.StatusTooManyRequests }, nil, connector.Unavailable},
		"another API":       {func(s *server) { s.status = http.StatusTeapot }, nil, connector.Broken},
		"our own password":  {func(*server) {}, object{"clientSecret": "wrong"}, connector.Broken},
	} {
		s := newServer(t)
		source := s.open(c.settings)
		c.edit(s)
		if _, _, err := source.Login(t.Context(), connector.Scopes{Groups: true}, name, "secret"); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: %s (%v)", name, connector.OutcomeOf(err), err)
		}
	}
})
