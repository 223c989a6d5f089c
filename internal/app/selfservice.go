package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"dex/internal/config"
	"dex/internal/mail"
	"dex/internal/selfservice"
	"dex/internal/server"
)

// errNoMail says that no mail is sent any more, since the configuration was changed.
var errNoMail = errors.New("the configuration has no section mail")

// openMails opens the queue of mails. It sends through the server of the edition in force.
func (c *Core) openMails() {
	c.mails = mail.NewQueue(mail.QueueConfig{
		Sender: func() (*mail.Sender, error) {
			e := c.edition.Load()
			return e.mail, e.noMail
		},
		Events: c.events,
		Log:    c.log,
	})
}

// openMail makes what sends mail. Neither a server that is down nor a certificate that can't be read keeps anybody from logging in.
func (e *Edition) openMail() {
	set := e.cfg.Mail
	if set == nil {
		e.noMail = errNoMail
		return
	}
	roots, err := mailRoots(set)
	if err == nil {
		e.mail, err = mail.NewSender(mail.Config{
			From: set.From, Host: set.Host, Port: set.Port, Username: set.Username, Password: set.Password,
			Security: set.Security, Roots: roots, HelloName: set.HelloName,
		})
	}
	if err != nil {
		e.noMail = err
		e.core.log.Error("no mail can be sent", "err", err)
	}
}

// mailRoots returns the authorities of the mail server's certificate; nil for the system's.
func mailRoots(set *config.Mail) (*x509.CertPool, error) {
	if set.RootCA == "" {
		return nil, nil // as tls.Config has it
	}
	text, err := os.ReadFile(set.RootCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there is no certificate in %s", set.RootCA)
	}
	return pool, nil
}

func (p *Plan) checkMailCA() config.Problems {
	if p.Config.Mail == nil {
		return nil
	}
	if _, err := mailRoots(p.Config.Mail); err != nil {
		return config.Problems{p.fileProblem("mail.rootCA", "", err)}
	}
	return nil
}

// selfService makes the pages on which users help themselves by mail.
func (e *Edition) selfService(with shared) *selfservice.SelfService {
	core, set := e.core, e.cfg.LocalUsers
	cfg := selfservice.Config{
		IssuerURL:   core.issuer,
		Users:       e.users(),
		Identities:  with.identities,
		Policy:      e.plan.passwords,
		Clients:     with.clients,
		Families:    with.families,
		Revocations: core.revoked,
		Ring:        core.ring,
		Queue:       core.mails,
		Limits:      core.limits,
		Pages:       e.pages,
		Log:         core.log,
		Events:      core.events,
		Now:         time.Now,

		ResetLifetime:      set.ResetLifetime,
		InvitationLifetime: set.InvitationLifetime,
	}
	if e.cfg.EnablePasswordDB {
		cfg.Reset, cfg.Invitations, cfg.Verification = set.PasswordReset, set.Invitations, set.VerifyEmail
	}
	if with.sessions != nil {
		cfg.Sessions, cfg.SignOut = with.sessions, with.logout
	}
	return selfservice.New(cfg)
}

// selfServiceRoutes returns the paths of what is switched on.
func selfServiceRoutes(s *selfservice.SelfService) []server.Route {
	var routes []server.Route
	for _, r := range s.Routes() {
		routes = append(routes, server.Route{Pattern: r.Path, Handler: r.Handler, Methods: r.Methods})
	}
	return routes
}

// linksFor returns how long the links in mails are of use, which are sealed.
func linksFor(c *config.Config) time.Duration {
	var longest time.Duration
	if c.LocalUsers.PasswordReset {
		longest = c.LocalUsers.ResetLifetime
	}
	if c.LocalUsers.Invitations {
		longest = max(longest, c.LocalUsers.InvitationLifetime)
	}
	return longest
}
