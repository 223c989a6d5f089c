package limit

import (
	"context"
	"errors"
	"time"

	"dex/internal/telemetry"
)

// The limits of a server: wide enough that people who mistype never notice them.
var (
	// perUser is for the passwords of one user: people try three or four that they might have used, twice.
	// An attacker gets 8640 attempts a day from one address.
	perUser = Rate{Burst: 10, Every: 10 * time.Second}
	// everywhere is for the passwords of one user from all addresses together. An attacker with many addresses must not
	// be able to lock the user out, so beyond it attempts are delayed, not refused.
	everywhere = Rate{Burst: 100, Every: 10 * time.Second}
	// perAddress is for the passwords of all users from one address, against one password that is tried on everybody. It
	// leaves room for a whole office that mistypes on a Monday.
	perAddress = Rate{Burst: 100, Every: time.Second}
	// perClient is for the secrets of one client. It has room for a fleet of machines that come up with a stale secret.
	perClient = Rate{Burst: 100, Every: time.Second}
	// unknownClients is for client ids that do not exist, from one address.
	unknownClients = Rate{Burst: 100, Every: time.Second}
	// userCodes is for what users type to connect a device (RFC 8628, section 5.1). With a thousand devices waiting,
	// 10 guesses a minute at 20^8 codes hit one every five years.
	userCodes = Rate{Burst: 10, Every: 6 * time.Second}
	// deviceRequests is for devices of public clients that request a code, which creates a record in the storage.
	deviceRequests = Rate{Burst: 60, Every: time.Second}
	// polls is for devices at one address that ask whether their user has decided: 250 devices that poll as told.
	polls = Rate{Burst: 300, Every: 20 * time.Millisecond}
	// pollsOfCode is for one device, from anywhere. Those that ask every 5 s never reach it.
	pollsOfCode = Rate{Burst: 3, Every: 4 * time.Second}
)

// longestPause is the most that an attempt is delayed because of attempts from other addresses.
const longestPause = 5 * time.Second

// A Set is the limits of a server. The client's address comes from the request's context. The errors of its methods are
// Begin's; [Refusal] turns them into answers.
type Set struct {
	perUser, everywhere, perAddress, perClient, unknownClients, userCodes, deviceRequests, polls, pollsOfCode *Limiter
}

// NewSet returns the limits of a server.
func NewSet() *Set {
	return &Set{
		perUser:        New(perUser),
		everywhere:     New(everywhere),
		perAddress:     New(perAddress),
		perClient:      New(perClient),
		unknownClients: New(unknownClients),
		userCodes:      New(userCodes),
		deviceRequests: New(deviceRequests),
		polls:          New(polls),
		pollsOfCode:    New(pollsOfCode),
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

// UserCode begins an attempt at a device's user code.
func (s *Set) UserCode(ctx context.Context) (*Try, error) {
	return Begin(ctx, s.userCodes.Key(telemetry.ClientAddress(ctx)))
}

// DeviceRequest counts a device that requests a code.
func (s *Set) DeviceRequest(ctx context.Context) error {
	return Count(ctx, s.deviceRequests.Key(telemetry.ClientAddress(ctx)))
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
