package app_test

import (
	"testing"

	"dex/internal/faulttest"
	"dex/internal/store/memory"
)

// Second factors were asked for at the authorization endpoint only. The matrix forbids each grant by them; a client may do
// without.
var _ = faulttest.Add("R5", func(t *testing.T) {
	for grant, use := range scenarios {
		for name, forbid := range map[string]func(world) world{
			"by default": func(w world) world { w.factors = "otp"; return w },
			"by client":  func(w world) world { w.clientFactors = ", mfaChain: [otp]"; return w },
			"not for this client": func(w world) world {
				w.factors, w.clientFactors = "otp", ", mfaChain: []"
				return w
			},
		} {
			kept := memory.New()
			a := use(openWorld().in(t, kept))(forbid(openWorld()).in(t, kept))
			allowed := !hasUser(grant) || name == "not for this client"
			if a.hasToken() != allowed {
				t.Errorf("%s, %s: got %d %s", grant, name, a.status, a.body)
			}
		}
	}
})
