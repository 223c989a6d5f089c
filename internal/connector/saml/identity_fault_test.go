package saml_test

import (
	"errors"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// A user without an e-mail address was told that the server had failed.
var _ = faulttest.Add("K12", func(t *testing.T) {
	for _, values := range [][]string{nil, {}, {""}} {
		a := jane()
		a.Attributes[1].Values = values
		_, err := login(t, open(t, usual+people().idp.caData()), withGroups, a)
		unusable, isUnusable := errors.AsType[*connector.Unusable](err)
		if !isUnusable || unusable.Claim != "email" {
			t.Errorf("%q: %v", values, err)
		}
		a = jane()
		a.Attributes[1].Values = values
		s := open(t, usual+"allowMissingEmail: true\n"+people().idp.caData())
		id, err := login(t, s, withGroups, a)
		if err != nil || id.Email != "" || id.EmailVerified || id.Username != "Jane Doe" {
			t.Fatalf("%q, as is set: %+v, %v", values, id, err)
		}
		again, err := s.Refresh(t.Context(), withGroups, id)
		if err != nil || again.Email != "" || again.EmailVerified {
			t.Errorf("%q, at a refresh: %+v, %v", values, again, err)
		}
	}
})
