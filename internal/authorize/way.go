package authorize

import (
	"context"
	"net/netip"
	"net/url"

	"dex/internal/login"
	"dex/internal/oauth"
)

// WayOn implements login.Request. If the application is no longer registered, there is none.
func (req *Request) WayOn(ctx context.Context) login.WayOn {
	if !req.stillRegistered(ctx) {
		return login.WayOn{}
	}
	way := login.WayOn{
		StartURL: req.purpose.page.Path("/auth", req.Repeat()), StartText: "Log in again", HomeURL: homeOf(req.RedirectURI),
	}
	if req.RedirectURI != oauth.RedirectOutOfBand {
		back := req.reply(errorParams(oauth.Errorf(oauth.AccessDenied, "The login was not finished.")))
		way.Back = &back
	}
	return way
}

// homeOf returns the start page at the host that a redirect URI leads to; empty where there is none that a browser could show, as with
// applications on the user's own machine.
func homeOf(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String()
}
