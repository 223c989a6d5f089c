package login_test

import (
	"net/http"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/login"
	"dex/internal/session"
)

func TestDepartureTickets(t *testing.T) {
	t.Run("B-18 a Kerberos login makes a session", func(t *testing.T) {
		jane := connector.Negotiation{Identity: &connector.Identity{UserID: "jane"}}
		v := &visitor{t: t, cookies: map[string]string{}, handler: newFlow(t, ticketed{jane}, func(c *login.Config) {
			c.Sessions = &login.Sessions{
				Sessions: session.New(session.Config{
					Store: c.Store, Ring: c.Ring, IssuerURL: c.IssuerURL, CookieName: "dex_session",
					Idle: time.Hour, Lifetime: time.Hour, MaxAccounts: 1, Now: time.Now,
				}),
			}
		})}
		form := v.begin(nil).Header().Get("Location")
		if w := v.do(http.MethodGet, form, nil, nil); w.Code != http.StatusSeeOther {
			t.Fatalf("the ticket leads to %d %s", w.Code, w.Body)
		}
		again, err := v.begin(nil).Result().Location()
		if err != nil || again.Host != "app.test" || again.Query().Get("code") == "" {
			t.Errorf("the next login leads to %v, %v", again, err)
		}
	})
}
