package app

import (
	"time"

	"dex/internal/account"
	"dex/internal/connector/local"
	"dex/internal/login"
	"dex/internal/selfservice"
)

// ownAccount makes the home page, and where sessions are on the pages on which people see what is theirs.
func (e *Edition) ownAccount(with shared, p *account.Purpose, flow *login.Flow, self *selfservice.SelfService) *account.Account {
	cfg := account.Config{
		IssuerURL:   e.core.issuer,
		Pages:       e.pages,
		Log:         e.core.log,
		Events:      e.core.events,
		Connectors:  e.connectors,
		Sessions:    with.sessions,
		Hidden:      e.cfg.Account.Hidden,
		VerifyURL:   self.VerifyURL,
		Purpose:     p,
		Login:       flow,
		Identities:  with.identities,
		Families:    with.families,
		Revocations: e.core.revoked,
		Clients:     with.clients,
		Factors:     with.factors,
		Limits:      e.core.limits,
		Ring:        e.core.ring,
		FixedPassword: func(email string) bool {
			users, key := e.users().Records(), local.Key(email)
			return users.Configured(key) || users.FallsBack(key)
		},
		Now: time.Now,
	}
	if with.logout != nil {
		cfg.SignOut = with.logout
	}
	return account.New(cfg)
}
