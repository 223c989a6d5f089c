package authorize

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"

	"dex/internal/id"
)

// sessionState returns what an application compares with the browser's state later, in our frame (OpenID Connect Session Management
// 1.0, section 3); empty where the browser has none, or the application has no origin.
func (req *Request) sessionState(browserState string) string {
	u, err := url.Parse(req.RedirectURI)
	if browserState == "" || err != nil || u.Host == "" {
		return ""
	}
	origin := strings.ToLower(u.Scheme + "://" + u.Host)
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		origin = strings.TrimSuffix(origin, ":"+port) // as browsers write it
	}
	salt := id.New()
	sum := sha256.Sum256([]byte(strings.Join([]string{req.ClientID, origin, browserState, salt}, " ")))
	return base64.RawURLEncoding.EncodeToString(sum[:]) + "." + salt
}
