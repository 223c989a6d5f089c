package config

import "dex/internal/rule"

// policies checks the rules for all clients.
func (v *validator) policies() {
	rule.CheckRefusals(v.Checker, "authPolicy", v.cfg.AuthPolicy)
	v.cfg.TokenPolicy.Check(v.Checker, "tokenPolicy")
}
