package grant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/refresh"
	"dex/internal/token"
)

const (
	// keepTimeout bounds how long the storage may take to keep what the source gave.
	keepTimeout = 10 * time.Second
	// turnTimeout bounds how long a login waits for the user's other logins.
	turnTimeout = refresh.AskTimeout + keepTimeout
)

// Turns lets one at a time go on with a key. The zero value is ready.
type Turns struct {
	mu   sync.Mutex // never held while somebody waits
	held map[string]*turn
}

type turn struct {
	free chan struct{} // has one token while nobody holds the turn
	many int           // how many hold it or wait for it
}

// take waits for a turn, which release gives back.
func (t *Turns) take(ctx context.Context, key string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	mine := t.enter(key)
	select {
	case <-mine.free:
		return func() {
			mine.free <- struct{}{}
			t.leave(key, mine)
		}, nil
	case <-ctx.Done():
		t.leave(key, mine)
		return nil, oauth.Errorf(oauth.TemporarilyUnavailable, "The identity source can't be asked.").Because(context.Cause(ctx))
	}
}

func (t *Turns) enter(key string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[string]*turn{}
	}
	mine, ok := t.held[key]
	if !ok {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		t.held[key] = mine
	}
	mine.many++
	return mine
}

func (t *Turns) leave(key string, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.many--; mine.many == 0 {
		delete(t.held, key)
	}
}

// ask lets the identity source say who the user is now. Requests that present the same token at once share one question,
// which goes on if one of them hangs up. Logins of one user take turns: what one gets from the source may end what another
// would show it.
func (g *refreshGrant) ask(
	ctx context.Context, p *refresh.Presented, source *federation.Opened, scopes connector.Scopes,
) (connector.Identity, error) {
	refresher, ok := source.Instance.(connector.Refresher)
	if !ok { // any more: it could when the login began
		return connector.Identity{}, oauth.Errorf(oauth.InvalidGrant, "The connector of this login no longer prolongs logins.")
	}
	flight := p.FamilyID + "/" + strconv.FormatUint(p.Generation, 10)
	asked := g.asking.DoChan(flight, func() (any, error) {
		var fresh connector.Identity
		ctx := context.WithoutCancel(ctx)
		err := federation.Shielded(ctx, g.log, func() (err error) { // a panic would end the server, as it is in no request
			fresh, err = g.askInTurn(ctx, p, refresher, scopes)
			return err
		})
		return fresh, err
	})
	select {
	case a := <-asked:
		if a.Err != nil {
			return connector.Identity{}, a.Err
		}
		return a.Val.(connector.Identity), nil
	case <-ctx.Done():
		return connector.Identity{}, context.Cause(ctx)
	}
}

// askInTurn asks the source when it is the user's turn, and keeps what it gives.
func (g *refreshGrant) askInTurn(
	ctx context.Context, p *refresh.Presented, source connector.Refresher, scopes connector.Scopes,
) (connector.Identity, error) {
	release, err := g.turns.take(ctx, token.Subject(p.Identity.UserID, p.ConnectorID))
	if err != nil {
		return connector.Identity{}, err
	}
	defer release()
	l, err := g.borrow(ctx, p, source)
	if err != nil {
		return connector.Identity{}, oauth.Errorf(oauth.TemporarilyUnavailable, "The identity source can't be asked.").Because(err)
	}
	defer g.giveBack(ctx, p, l)
	fresh, err := g.refresh(ctx, p, source, scopes, l)
	if err != nil {
		return connector.Identity{}, err
	}
	return fresh, g.keep(ctx, p, fresh.Data, l)
}

// keep stores what the source gave at once, whether or not the request leads to tokens: the source may already refuse what it
// gave before, and the next question must not show that.
func (g *refreshGrant) keep(ctx context.Context, p *refresh.Presented, data []byte, l refresh.Loan) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	return g.offline.KeepFrom(ctx, p.Identity.UserID, p.ConnectorID, data, l)
}

// borrow reads what the source gave last, for one question. If the answer may replace it, other replicas wait.
func (g *refreshGrant) borrow(ctx context.Context, p *refresh.Presented, source connector.Refresher) (refresh.Loan, error) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if _, rotates := source.(connector.Rotating); rotates {
		return g.offline.Borrow(ctx, p.Identity.UserID, p.ConnectorID)
	}
	data, err := g.offline.Data(ctx, p.Identity.UserID, p.ConnectorID)
	return refresh.Loan{Data: data}, err
}

func (g *refreshGrant) giveBack(ctx context.Context, p *refresh.Presented, l refresh.Loan) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if err := g.offline.GiveBack(ctx, p.Identity.UserID, p.ConnectorID, l); err != nil {
		g.log.WarnContext(ctx, "the source has answered, but other replicas still wait for it", "connector_id", p.ConnectorID, "err", err)
	}
}

func (g *refreshGrant) refresh(
	ctx context.Context, p *refresh.Presented, source connector.Refresher, scopes connector.Scopes, l refresh.Loan,
) (connector.Identity, error) {
	asking, cancel := context.WithTimeout(ctx, refresh.AskTimeout) // has no hold on keep: a late source may have replaced its token
	defer cancel()
	last := p.Identity
	last.Data = l.Data
	// The scopes are the login's, not this request's: what is stored must not shrink when one answer is narrowed.
	scopes.OfflineAccess = true
	asking, asked := g.connectors.Asking(asking, p.ConnectorID, federation.Refresh)
	fresh, err := source.Refresh(asking, scopes, last)
	if errors.Is(err, connector.ErrGone) {
		// Another replica may have been faster, and the source refuses what it has replaced.
		newer, readErr := g.offline.Data(asking, last.UserID, p.ConnectorID)
		if readErr != nil {
			asked.Drop()
			return connector.Identity{}, readErr
		}
		if !bytes.Equal(newer, last.Data) {
			last.Data = newer
			fresh, err = source.Refresh(asking, scopes, last)
		}
	}
	if err != nil && len(fresh.Data) > 0 && !bytes.Equal(fresh.Data, last.Data) {
		err = errors.Join(err, g.keep(ctx, p, fresh.Data, l))
	}
	if err == nil && fresh.UserID != p.Identity.UserID {
		err = fmt.Errorf("%w: it answered for another user", connector.ErrGone)
	}
	if errors.Is(err, connector.ErrGone) && g.signOut != nil {
		// A new login by the session would fail at its first refresh too.
		if endErr := g.signOut.EndUser(ctx, p.Identity.UserID, p.ConnectorID, event.SessionGone); endErr != nil {
			asked.Drop()
			return connector.Identity{}, endErr
		}
	}
	if err := asked.Ended(ctx, err); err != nil {
		return connector.Identity{}, sourceFailed(err)
	}
	fresh.GroupsTold = scopes.Groups
	if bytes.Equal(fresh.Data, last.Data) {
		fresh.Data = nil // nothing to keep, and what another login of the user has stored meanwhile may be newer
	}
	return fresh, nil
}
