package limit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dex/internal/event"
	"dex/internal/store"
	"dex/internal/telemetry"
)

// The limits of a server: wide enough that people who mistype never notice them.
var (
	// perUser is for the passwords of one user: people try three or four that they might have used, twice.
	// An attacker gets some 120 attempts on the first day from one address.
	perUser = Rate{Burst: 10, Every: 15 * time.Minute, First: 10 * time.Second, Longest: 15 * time.Minute}
	// everywhere is for the passwords of one user from all addresses together. An attacker with many addresses must not
	// be able to lock the user out, so beyond it attempts are delayed, not refused.
	everywhere = Rate{Burst: 100, Every: 10 * time.Second}
	// perAddress is for the passwords of all users from one address, against one password that is tried on everybody. It
	// leaves room for a whole office that mistypes on a Monday. It isn't progressive: one machine there that guesses would
	// lock everybody out for longer and longer.
	perAddress = Rate{Burst: 100, Every: time.Second}
	// perClient is for the secrets of one client. It has room for a fleet of machines that come up with a stale secret, and the
	// waits stay short, because one such machine that goes on holds up the others at its address.
	perClient = Rate{Burst: 100, Every: time.Minute, First: time.Second, Longest: time.Minute}
	// unknownClients is for client ids that do not exist, from one address.
	unknownClients = Rate{Burst: 100, Every: time.Second}
	// userCodes is for what users type to connect a device (RFC 8628, section 5.1). With a thousand devices waiting,
	// one guess a minute at 20^8 codes hits one every 48 years. Everybody at the address shares it, so the waits stay short.
	userCodes = Rate{Burst: 10, Every: time.Minute, First: 6 * time.Second, Longest: time.Minute}
	// deviceRequests is for devices of public clients that request a code, which creates a record in the storage.
	deviceRequests = Rate{Burst: 60, Every: time.Second}
	// polls is for devices at one address that ask whether their user has decided: 250 devices that poll as told.
	polls = Rate{Burst: 300, Every: 20 * time.Millisecond}
	// pollsOfCode is for one device, from anywhere. Those that ask every 5 s never reach it.
	pollsOfCode = Rate{Burst: 3, Every: 4 * time.Second}
	// mailsTo is for mails to one e-mail address that anybody can ask for, so that nobody's mailbox is filled.
	mailsTo = Rate{Burst: 3, Every: 20 * time.Minute}
	// mailRequests is for mails that are asked for from one address. It leaves room for an office on the day that passwords expire.
	mailRequests = Rate{Burst: 20, Every: time.Minute}
)

// longestPause is the most that an attempt is delayed because of attempts from other addresses.
const longestPause = 5 * time.Second

// A Set is the limits of a server. The client's address comes from the request's context. The errors of its methods are
// Begin's; [Refusal] turns them into answers.
type Set struct {
	perUser, perBrowser, everywhere, perAddress, perClient, unknownClients, userCodes, deviceRequests, polls, pollsOfCode *Limiter
	mailsTo, mailRequests                                                                                                 *Limiter
}

// An Option changes how a Set works.
type Option func(*Set)

// Shared makes replicas share the limits, except those for the polling of devices, which aren't about guesses, and the pauses of
// guesses from everywhere.
func Shared(s store.Store, live *Replicas, log *slog.Logger) Option {
	return func(set *Set) {
		p := newPool(s, live, log)
		for _, l := range []*Limiter{
			set.perUser, set.perBrowser, set.perAddress, set.perClient, set.unknownClients, set.userCodes, set.deviceRequests, set.mailsTo, set.mailRequests,
		} {
			l.pool = p
		}
	}
}

// Events makes a Set tell of each refusal.
func Events(events event.Sink) Option {
	return func(set *Set) {
		for _, l := range set.all() {
			l.events = events
		}
	}
}

// NewSet returns the limits of a server.
func NewSet(options ...Option) *Set {
	named := func(name event.Limit, rate Rate) *Limiter {
		l := New(rate)
		l.name = name
		return l
	}
	s := &Set{
		perUser:        named(event.LimitUser, perUser),
		perBrowser:     named(event.LimitBrowser, perUser),
		everywhere:     New(everywhere), // refuses nobody
		perAddress:     named(event.LimitAddress, perAddress),
		perClient:      named(event.LimitClient, perClient),
		unknownClients: named(event.LimitUnknownClients, unknownClients),
		userCodes:      named(event.LimitUserCodes, userCodes),
		deviceRequests: named(event.LimitDeviceRequests, deviceRequests),
		polls:          named(event.LimitPolls, polls),
		pollsOfCode:    named(event.LimitPollsOfCode, pollsOfCode),
		mailsTo:        named(event.LimitMailsTo, mailsTo),
		mailRequests:   named(event.LimitMails, mailRequests),
	}
	for _, set := range options {
		set(s)
	}
	return s
}

func (s *Set) all() []*Limiter {
	return []*Limiter{
		s.perUser, s.perBrowser, s.everywhere, s.perAddress, s.perClient, s.unknownClients, s.userCodes, s.deviceRequests, s.polls, s.pollsOfCode,
		s.mailsTo, s.mailRequests,
	}
}

// Secret begins an attempt at a client's secret.
func (s *Set) Secret(ctx context.Context, clientID string) (*Try, error) {
	return Begin(ctx, s.perClient.Key(telemetry.ClientAddress(ctx), clientID))
}

// WrongSecret counts a wrong secret for a client.
func (s *Set) WrongSecret(ctx context.Context, clientID string) error {
	return Count(ctx, s.perClient.Key(telemetry.ClientAddress(ctx), clientID))
}

// UnknownClient begins an attempt with a client id that may not exist.
func (s *Set) UnknownClient(ctx context.Context) (*Try, error) {
	return Begin(ctx, s.unknownClients.Key(telemetry.ClientAddress(ctx)))
}

// Factor begins an attempt at a second factor of a user. Those of one user are counted in the storage too, exactly and for all replicas.
func (s *Set) Factor(ctx context.Context, connectorID, userID string) (*Try, error) {
	if browser := knownBrowser(ctx); browser != "" {
		return Begin(ctx, s.perBrowser.Key("", browser, connectorID, "factor", userID))
	}
	address := telemetry.ClientAddress(ctx)
	return Begin(ctx, s.perUser.Key(address, connectorID, "factor", userID), s.perAddress.Key(address))
}

// Passkey begins an attempt to sign in with a passkey.
func (s *Set) Passkey(ctx context.Context) (*Try, error) {
	return Begin(ctx, s.perAddress.Key(telemetry.ClientAddress(ctx)))
}

// UserCode begins an attempt at a device's user code.
func (s *Set) UserCode(ctx context.Context) (*Try, error) {
	return Begin(ctx, s.userCodes.Key(telemetry.ClientAddress(ctx)))
}

// DeviceRequest counts a device that requests a code.
func (s *Set) DeviceRequest(ctx context.Context) error {
	return Count(ctx, s.deviceRequests.Key(telemetry.ClientAddress(ctx)))
}

// Mail counts a mail that somebody asks for, whether or not there is anybody to get it.
func (s *Set) Mail(ctx context.Context, email string) error {
	return Count(ctx, s.mailRequests.Key(telemetry.ClientAddress(ctx)), s.mailsTo.Key("", email))
}

// Poll begins a device's request for its tokens, which counts for its address unless it gets them. It reports whether the
// device asks too often with its code; then there is no Try.
func (s *Set) Poll(ctx context.Context, deviceCode string) (t *Try, tooOften bool, err error) {
	if t, err = Begin(ctx, s.polls.Key(telemetry.ClientAddress(ctx))); err != nil {
		return nil, false, err
	}
	if err = Count(ctx, s.pollsOfCode.Key("", deviceCode)); err == nil {
		return t, false, nil
	}
	t.Failed()
	t.End()
	if _, tooOften = errors.AsType[*Exceeded](err); tooOften {
		return nil, true, nil
	}
	return nil, false, err
}
