package limit

import (
	"context"
	"errors"
	"time"

	"dex/internal/connector"
	"dex/internal/telemetry"
)

// CheckPassword asks a source about a name and a password, unless there were too many wrong ones. The error is the
// source's or Begin's.
func (s *Set) CheckPassword(
	ctx context.Context, connectorID string, source connector.Password, scopes connector.Scopes, username, password string,
) (connector.Identity, bool, error) {
	a := &attempt{
		limits: s, address: telemetry.ClientAddress(ctx), browser: knownBrowser(ctx), connectorID: connectorID, patience: longestPause,
	}
	defer a.end()
	if err := a.begin(ctx, "name", countedName(username), s.perAddress.Key(a.address)); err != nil {
		return connector.Identity{}, false, err
	}
	finder, finds := source.(connector.Finder)
	if !finds {
		identity, ok, err := source.Login(ctx, scopes, username, password)
		a.wrong = !ok && err == nil
		return identity, ok, err
	}
	identity, ok, err := finder.LoginFound(ctx, scopes, username, password, func(user string) error {
		return a.begin(ctx, "user", user)
	})
	// Another name for a user who has had too many guesses is one more guess.
	_, exceeded := errors.AsType[*Exceeded](err)
	a.wrong = !ok && err == nil || exceeded
	return identity, ok, err
}

// longestFolded bounds what is folded, in bytes, as that costs time. Forms and grants take names of 1 KiB, so only callers of the
// management API get here with longer ones, which nobody has.
const longestFolded = 4096

// countedName returns the same text for all spellings of a name that a source may take for the same user. It may be long: keys hash it.
func countedName(username string) string {
	if len(username) > longestFolded {
		return username
	}
	return connector.FoldName(username)
}

// An attempt is a password check in progress. It counts for the name that was typed and, if the source says which user it
// has found, for that user.
type attempt struct {
	limits               *Set
	address, connectorID string
	browser              string // a known one's id
	tries                []*Try
	users                []id
	patience             time.Duration // how long it may still be delayed because of attempts from elsewhere
	wrong                bool
}

// begin begins a Try at a name or a user, which counts for the other keys too, unless it comes from a known browser. The error is
// Begin's.
func (a *attempt) begin(ctx context.Context, kind, name string, more ...Key) error {
	keys := append([]Key{a.limits.perUser.Key(a.address, a.connectorID, kind, name)}, more...)
	if a.browser != "" {
		keys = []Key{a.limits.perBrowser.Key("", a.browser, a.connectorID, kind, name)}
	}
	try, err := Begin(ctx, keys...)
	if err != nil {
		return err
	}
	a.tries = append(a.tries, try)
	if a.browser != "" {
		return nil // guesses from elsewhere don't slow it down
	}
	user := identify([]string{a.connectorID, kind, name})
	a.users = append(a.users, user)
	waited, err := a.limits.everywhere.pause(ctx, user, a.patience)
	a.patience -= waited
	return err
}

// end ends the Tries at the name and at the user.
func (a *attempt) end() {
	for _, try := range a.tries {
		if a.wrong {
			try.Failed()
		}
		try.End()
	}
	if !a.wrong {
		return
	}
	for _, user := range a.users {
		a.limits.everywhere.fail(user, longestPause)
	}
}
