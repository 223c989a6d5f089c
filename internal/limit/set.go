package limit

import (
	"context"
	"errors"
	"time"

	"dex/internal/telemetry"
)

// The limits of a server: so wide that people who mistype see none of them.
var (
	// perUser is for the passwords of one user: people try three or four that they might have used, twice.
	// Who guesses gets 8640 tries a day from one address.
	perUser = Rate{Burst: 10, Every: 10 * time.Second}
	// everywhere is for the passwords of one user from all addresses together. Whoever has many addresses must not lock
	// the user out by it, so beyond it nobody is refused, but each try waits before it is checked.
	everywhere = Rate{Burst: 100, Every: 10 * time.Second}
	// perAddress is for the passwords of all users from one address, where a whole office may mistype on a Monday, against
	// one password that is tried on everybody.
	perAddress = Rate{Burst: 100, Every: time.Second}
	// perClient is for secrets of one client. It has room for a fleet of machines that come up with a stale secret.
	perClient = Rate{Burst: 100, Every: time.Second}
	// unknownClients is for client ids that do not exist, from one address.
	unknownClients = Rate{Burst: 100, Every: time.Second}
	// userCodes is for what users type to connect a device (RFC 8628, section 5.1). 10 tries a minute hit one of a
	// thousand codes that wait, of 20^8, once in five years.
	userCodes = Rate{Burst: 10, Every: 6 * time.Second}
	// deviceRequests is for devices of public clients that ask for such a code, which is a record in the storage each time.
	deviceRequests = Rate{Burst: 60, Every: time.Second}
	// polls is for devices that ask whether their user has decided, from one address: 250 that ask as they are told to.
	polls = Rate{Burst: 300, Every: 20 * time.Millisecond}
	// pollsOfCode is for one of them, from anywhere. Those that ask every 5 s never meet it.
	pollsOfCode = Rate{Burst: 3, Every: 4 * time.Second}
)

// longestPause is the most that a try waits because of tries from other addresses.
const longestPause = 5 * time.Second

// A Set is the limits of a server. Whose they are is told by the context of the request. The errors of its methods are
// those of Begin; [Refusal] makes answers of them.
type Set struct {
	perUser, everywhere, perAddress, perClient, unknownClients, userCodes, deviceRequests, polls, pollsOfCode *Limiter
}

// NewSet returns the limits of a server.
func NewSet(now func() time.Time) *Set {
	return &Set{
		perUser:        New(perUser, now),
		everywhere:     New(everywhere, now),
		perAddress:     New(perAddress, now),
		perClient:      New(perClient, now),
		unknownClients: New(unknownClients, now),
		userCodes:      New(userCodes, now),
		deviceRequests: New(deviceRequests, now),
		polls:          New(polls, now),
		pollsOfCode:    New(pollsOfCode, now),
	}
}

// Secret begins a try at a client's secret.
func (s *Set) Secret(ctx context.Context, clientID string) (*Try, error) {
	return Begin(ctx, s.perClient.Key(telemetry.ClientAddress(ctx), clientID))
}

// WrongSecret counts a wrong secret of a client.
func (s *Set) WrongSecret(ctx context.Context, clientID string) error {
	return Count(ctx, s.perClient.Key(telemetry.ClientAddress(ctx), clientID))
}

// UnknownClient begins a try at an id that no client has perhaps.
func (s *Set) UnknownClient(ctx context.Context) (*Try, error) {
	return Begin(ctx, s.unknownClients.Key(telemetry.ClientAddress(ctx)))
}

// UserCode begins a try at the code of a device.
func (s *Set) UserCode(ctx context.Context) (*Try, error) {
	return Begin(ctx, s.userCodes.Key(telemetry.ClientAddress(ctx)))
}

// DeviceRequest counts a device that wants such a code.
func (s *Set) DeviceRequest(ctx context.Context) error {
	return Count(ctx, s.deviceRequests.Key(telemetry.ClientAddress(ctx)))
}

// Poll begins a question of a device: one that brings no tokens counts for its address. It reports whether the device asks
// too often with its code; then there is no try.
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
