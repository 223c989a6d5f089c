package device

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/answer"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/store"
	"dex/internal/token"
)

// pollLeeway is how much a device's timer may be early.
const pollLeeway = 500 * time.Millisecond

// An Approved device may have its tokens.
type Approved struct {
	token.Authorization // its GrantID names the refresh tokens that the device gets
	Challenge           pkce.Challenge

	code  string
	entry store.Entry[record]
}

// Poll answers a device's question: what its user has let it have, or an *oauth.Error.
func (s *Codes) Poll(ctx context.Context, deviceCode, clientID string) (*Approved, error) {
	e, err := s.byDeviceCode(ctx, deviceCode)
	if err == nil {
		err = s.answer(ctx, deviceCode, clientID, &e)
	}
	if err != nil {
		return nil, err
	}
	d := &Approved{Authorization: *e.Value.Authorization, Challenge: e.Value.Challenge, code: deviceCode, entry: e}
	d.GrantID = e.Value.FamilyID
	return d, nil
}

// answer returns why a device may not have its tokens, or nothing. In the latter case a record that was redeemed has its
// authorization back.
func (s *Codes) answer(ctx context.Context, deviceCode, clientID string, e *store.Entry[record]) error {
	d := &e.Value
	switch {
	case d.ClientID != clientID:
		return oauth.Errorf(oauth.InvalidGrant, "The device_code belongs to another client.")
	case d.State == denied:
		return oauth.Errorf(oauth.AccessDenied, "The user refused.")
	case d.State == redeemed:
		return s.recall(ctx, deviceCode, d)
	case s.expired(d):
		return oauth.Errorf(oauth.ExpiredToken, "The user took too long; begin anew.")
	case d.State == granted:
		return nil
	}
	return s.wait(ctx, *e)
}

// AuthenticatedClient returns the client that a device code belongs to, if it showed its secret when it asked for the code;
// otherwise nothing. The error is an *oauth.Error if no device has the code.
func (s *Codes) AuthenticatedClient(ctx context.Context, deviceCode string) (clientID string, err error) {
	e, err := s.byDeviceCode(ctx, deviceCode)
	if err != nil || !e.Value.Authenticated {
		return "", err
	}
	return e.Value.ClientID, nil
}

// byDeviceCode finds a device by the code that only it has. The error is an *oauth.Error if no device has it.
func (s *Codes) byDeviceCode(ctx context.Context, deviceCode string) (store.Entry[record], error) {
	unknown := oauth.Errorf(oauth.InvalidGrant, "The device_code is unknown or has expired.")
	if len(deviceCode) <= userCodeLength {
		return store.Entry[record]{}, unknown
	}
	userCode, ok := readUserCode(deviceCode[len(deviceCode)-userCodeLength:])
	if !ok {
		return store.Entry[record]{}, unknown
	}
	e, err := s.table.Get(ctx, userCode)
	if errors.Is(err, store.ErrNotFound) {
		return e, unknown
	}
	if err != nil {
		return e, fmt.Errorf("read device: %w", err)
	}
	if !id.IsHashOf(e.Value.Secret, deviceCode) {
		return e, unknown
	}
	return e, nil
}

// wait tells a device to ask again. A question that comes too early is not stored: it costs no write, and doesn't delay the
// next one that comes in time.
func (s *Codes) wait(ctx context.Context, e store.Entry[record]) error {
	early := false
	_, err := s.table.UpdateEntry(ctx, e, func(d *record) error {
		now := s.now()
		since := now.Sub(d.Polled)
		if early = !d.Polled.IsZero() && since >= 0 && since < d.Interval-pollLeeway; early {
			return store.ErrUnchanged
		}
		d.Polled = now
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("store device's question: %w", err)
	case early:
		return SlowDown()
	}
	return oauth.Errorf(oauth.AuthorizationPending, "The user has not decided yet.")
}

// SlowDown tells a device that it asks too often (RFC 8628, section 3.5).
func SlowDown() error {
	return oauth.Errorf(oauth.SlowDown, "Wait 5 seconds longer between two requests from now on.")
}

// expired reports whether a device has waited too long, by whichever clock is later.
func (s *Codes) expired(d *record) bool {
	return s.now().After(d.ValidUntil.Add(s.answers.Skew(d.Process)))
}

// Redeem uses up a device code that gives no refresh token, or does so once more if Poll has found that it may. Of any number
// of callers one succeeds, and another only if the answer to the first got lost.
func (s *Codes) Redeem(ctx context.Context, approved *Approved) error {
	deviceCode, e := approved.code, approved.entry
	for {
		err := s.use(ctx, deviceCode, e)
		if !errors.Is(err, answer.ErrReplayed) {
			return err
		}
		if e, err = s.table.Get(store.Latest(ctx), e.Key); err != nil {
			return err
		}
		if err := s.recall(ctx, deviceCode, &e.Value); err != nil {
			return err
		}
	}
}

// use uses up a device code after the use that the entry knows of, if any. The error is answer.ErrReplayed if there was
// another.
func (s *Codes) use(ctx context.Context, deviceCode string, e store.Entry[record]) error {
	kept, err := answer.Seal(deviceCode, e.Value.Authorization)
	if err != nil {
		return err
	}
	stampOf := func(d *record) answer.Stamp { return d.Stamp }
	_, err = answer.Write(ctx, s.answers, s.table, e.Key, stampOf, func(stamp answer.Stamp) (store.Entry[record], error) {
		return s.table.UpdateEntry(ctx, e, func(d *record) error {
			if d.State != e.Value.State || d.Stamp != e.Value.Stamp {
				return answer.ErrReplayed
			}
			d.State, d.Authorization, d.Kept, d.Redeemed, d.Stamp = redeemed, nil, kept, s.now(), stamp
			return nil
		})
	})
	return err
}

// recall gives a device that was redeemed its authorization back, if the answer got lost.
func (s *Codes) recall(ctx context.Context, deviceCode string, d *record) error {
	if err := s.Owed(ctx, answer.Use{Stamp: d.Stamp, At: d.Redeemed}); err != nil {
		return err
	}
	if len(d.Kept) == 0 {
		return errDeviceCodeUsed()
	}
	return answer.Open(deviceCode, d.Kept, &d.Authorization)
}

// Owed returns why the answer to the use of a device code is not given again, or nothing if it got lost and still may be.
func (s *Codes) Owed(ctx context.Context, u answer.Use) error {
	owed, err := s.answers.Owed(ctx, u, s.now())
	switch {
	case err != nil:
		return fmt.Errorf("device code was used, look for the answer: %w", err)
	case !owed:
		return errDeviceCodeUsed()
	}
	return nil
}

func errDeviceCodeUsed() error {
	return oauth.Errorf(oauth.InvalidGrant, "The device_code was used before.")
}
