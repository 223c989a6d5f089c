package config_test

import (
	"testing"
	"time"

	"dex/internal/config"
	"dex/internal/faulttest"
)

// An empty duration was refused, where upstream takes it for an absent one.
var _ = faulttest.Add("U3", func(t *testing.T) {
	cfg, problems := source(`
# env: DEX_SESSIONS_ENABLED=true
expiry:
  signingKeys: ""
  idTokens: ""
  authRequests: ''
  authCodes: ""
  authCodeReuseInterval: ""
  deviceRequests: ""
  refreshTokens: {reuseInterval: "", validIfNotUsedFor: "", absoluteLifetime: ""}
signer: {type: local, config: {keysRotationPeriod: ""}}
sessions: {absoluteLifetime: "", validIfNotUsedFor: ""}
`).Load()
	for _, p := range problems {
		if p.Key != "sessions" { // which does nothing yet
			t.Error(p)
		}
	}
	want := config.Expiry{
		SigningKeys: 6 * time.Hour, IDTokens: 24 * time.Hour, AuthRequests: 24 * time.Hour, AuthCodes: time.Minute,
		DeviceRequests: 5 * time.Minute, RefreshTokens: config.RefreshTokens{ReuseInterval: 5 * time.Second},
	}
	if cfg.Expiry != want || cfg.Signer.Local.KeysRotationPeriod != 6*time.Hour || cfg.Sessions.AbsoluteLifetime != 24*time.Hour {
		t.Errorf("got %+v, %+v, %+v", cfg.Expiry, cfg.Signer.Local, cfg.Sessions)
	}

	section, err := config.SectionFromJSON("connector", []byte(`{"skew": "", "timeout": ""}`))
	if err != nil {
		t.Fatal(err)
	}
	var settings struct {
		Skew    *time.Duration `key:"skew"`
		Timeout time.Duration  `key:"timeout"`
	}
	if problems := section.Decode(&settings); len(problems) > 0 || settings.Skew != nil {
		t.Errorf("skew is %v, problems: %v", settings.Skew, problems)
	}
})
