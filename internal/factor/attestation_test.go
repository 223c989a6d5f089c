package factor_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"dex/internal/factor"
	"dex/internal/factor/factortest"
)

var model = [16]byte{0xee, 0x88, 0x28, 0x79, 0x72, 0x1c, 0x49, 0x13, 0x97, 0x75, 0x3d, 0xfc, 0xce, 0x97, 0x07, 0x2a}

const modelText = "ee882879-721c-4913-9775-3dfcce97072a"

func TestAllowedModels(t *testing.T) {
	x := newFixture(t, factor.Authenticator{
		ID: "key", Type: factor.TypeWebAuthn, WebAuthn: factor.WebAuthnSettings{AllowedAAGUIDs: []string{modelText}},
	})
	a := newKey()
	_, err := x.register(t, jane, a)
	wantErr(t, err, factor.ErrCeremony)
	a = newKey()
	a.AAGUID = model
	x.key(t, a)
	if _, err := x.assert(t, a); err != nil {
		t.Error(err)
	}
}

func TestAttestation(t *testing.T) {
	maker, root, err := factortest.NewAttestation(model)
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := factortest.NewAttestation(model)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	x := newFixture(t, factor.Authenticator{
		ID: "key", Type: factor.TypeWebAuthn,
		WebAuthn: factor.WebAuthnSettings{AllowedAAGUIDs: []string{modelText}, RequireAttestation: true, AttestationRoots: roots},
	})
	options, err := x.BeginRegistration(t.Context(), jane, "key", "login")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(options), `"attestation":"direct"`) {
		t.Errorf("the options are %s", options)
	}
	for name, c := range map[string]struct {
		attestation *factortest.Attestation
		model       [16]byte
		ok          bool
	}{
		"of the maker":     {maker, model, true},
		"missing":          {nil, model, false},
		"of a stranger":    {stranger, model, false},
		"with another key": {&factortest.Attestation{Key: stranger.Key, Chain: maker.Chain}, model, false},
		"of another model": {maker, [16]byte{1}, false},
	} {
		a := newKey()
		a.AAGUID, a.Attestation = c.model, c.attestation
		_, err := x.register(t, jane, a)
		if c.ok && err != nil {
			t.Errorf("attestation %s: %v", name, err)
		} else if !c.ok {
			wantErr(t, err, factor.ErrCeremony)
			t.Log(name, err)
		}
	}
}
