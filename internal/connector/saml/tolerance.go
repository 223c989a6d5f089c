package saml

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dex/internal/connector/settings"
	"dex/internal/saml"
)

const acceptExpired = "expiredCertificates"

// A tolerance is something that is refused unless insecureAccept names it.
type tolerance struct {
	set   func(*saml.Tolerance)
	means string // what it gives up
}

// tolerances are the values of insecureAccept.
var tolerances = map[string]tolerance{
	acceptExpired: {
		func(t *saml.Tolerance) { t.ExpiredCertificates = true },
		"a key that the provider has retired, perhaps because it leaked, still counts",
	},
	"responseIssuer": {
		func(t *saml.Tolerance) { t.ResponseIssuer = true },
		"a response may come from a different issuer than its assertion",
	},
	"unknownConditions": {
		func(t *saml.Tolerance) { t.UnknownConditions = true },
		"assertions count although nobody has checked whether the provider's conditions hold",
	},
	"endedSessions": {
		func(t *saml.Tolerance) { t.EndedSessions = true },
		"users get in although their session at the provider has ended",
	},
	"signatureObjects": {
		func(t *saml.Tolerance) { t.SignatureObjects = true },
		"signatures may contain something that other programs could read in place of the assertion",
	},
	"signatureIDs": {
		func(t *saml.Tolerance) { t.SignatureIDs = true },
		"other programs could mistake one signature for another",
	},
}

func (c *Config) checkTolerances(check *settings.Check) {
	for i, name := range c.InsecureAccept {
		key := fmt.Sprintf("insecureAccept[%d]", i)
		if t, known := tolerances[name]; known {
			check.Warn(key, "%s: %s; have the provider fixed", name, t.means)
			continue
		}
		check.Fail(key, "must be one of %s, not %q", strings.Join(slices.Sorted(maps.Keys(tolerances)), ", "), name)
	}
}

// tolerance returns what the settings accept although it should be refused.
func (c *Config) tolerance() (all saml.Tolerance) {
	for _, name := range c.InsecureAccept {
		tolerances[name].set(&all)
	}
	return all
}
