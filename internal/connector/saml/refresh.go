package saml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dex/internal/connector"
)

// readData reads what we, or upstream, kept with a login. Without it the login can't be tied to a user: that is ErrGone, as
// only the user can fix it, by logging in again.
func readData(encoded []byte) (data, error) {
	var d data
	if err := json.Unmarshal(encoded, &d); err != nil || d.UserID == "" {
		return data{}, fmt.Errorf("the login was kept without the user: %w", connector.ErrGone)
	}
	return d, nil
}

// Refresh implements connector.Refresher. SAML has no way to ask about a user who is not there: Refresh repeats what the
// provider said at the login, for as long as the settings allow, and checks it against today's allowed groups.
func (s *source) Refresh(_ context.Context, scopes connector.Scopes, id connector.Identity) (connector.Identity, error) {
	user, err := readData(id.Data)
	if err != nil {
		return connector.Identity{}, err
	}
	if err := s.checkAge(user, time.Now()); err != nil {
		return connector.Identity{}, fmt.Errorf("%w: %w", err, connector.ErrGone)
	}
	fresh, err := s.authorized(scopes, user)
	if err != nil {
		return connector.Identity{}, err
	}
	fresh.Data = id.Data
	if s.config.MaxAge == nil && user.LoggedIn.IsZero() {
		user.LoggedIn = time.Now().UTC()
		if fresh.Data, err = json.Marshal(user); err != nil {
			return connector.Identity{}, fmt.Errorf("encode connector data: %w", err)
		}
	}
	return fresh, nil
}

// defaultMaxAge is how long after a login a refresh repeats it, if the settings don't say.
const defaultMaxAge = 30 * 24 * time.Hour

// checkAge returns why a login is too old to be repeated. Logins stored by upstream have no time: they count from their first
// refresh here, unless the settings have a maximum age.
func (s *source) checkAge(user data, now time.Time) error {
	if s.config.EndWithSession && !user.Expires.IsZero() && !now.Before(user.Expires) {
		return errors.New("the provider's session is over")
	}
	maxAge := defaultMaxAge
	if s.config.MaxAge != nil {
		maxAge = *s.config.MaxAge
	}
	switch {
	case maxAge == 0:
		return nil
	case user.LoggedIn.IsZero() && s.config.MaxAge != nil:
		return errors.New("the login is of unknown age, and maxAge is set")
	case user.LoggedIn.IsZero():
		return nil
	case now.Sub(user.LoggedIn) >= maxAge:
		return errors.New("the login is older than maxAge")
	}
	return nil
}
