package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store/memory"
)

// signingTime is how long one measurement of signatures takes.
const signingTime = 300 * time.Millisecond

// A signer makes bare signatures, with the code and the kind of key that the server uses.
type signer struct {
	key     *signing.Key
	payload []byte
}

func newSigner(ctx context.Context, algorithm string) (*signer, error) {
	keys, err := signing.Open(ctx, memory.New(), signing.Config{
		Algorithm: algorithm, RotationPeriod: 6 * time.Hour, TokenLifetime: 24 * time.Hour,
	}, slog.New(slog.DiscardHandler), event.Discard)
	if err != nil {
		return nil, err
	}
	const typical = 450 // bytes of claims in the tokens of these logins
	return &signer{key: keys.Key(), payload: bytes.Repeat([]byte("x"), typical)}, nil
}

// cost returns the CPU time of one signature. All processors sign at the same time: on an idle machine a signature would be
// cheaper than it can be for a server whose processors are all busy.
func (s *signer) cost(ctx context.Context) (time.Duration, error) {
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	var signatures atomic.Int64
	var group errgroup.Group
	end := time.Now().Add(signingTime)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for time.Now().Before(end) {
				if _, err := s.key.Sign(ctx, "", s.payload); err != nil {
					return err
				}
				signatures.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	after, err := ownCPU()
	return (after - before) / time.Duration(signatures.Load()), err
}

// ownCPU returns the CPU time that this process has used.
func ownCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("own CPU time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
