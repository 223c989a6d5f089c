package outbound_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/outbound"
)

func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s outbound.Shared[int]
		asked := 0
		ask := func(ctx context.Context) (int, error) {
			asked++
			select {
			case <-time.After(5 * time.Second):
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		first, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := s.Ask(first, "x", ask)
			left <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("whoever left gets %v", err)
		}
		if got, err := s.Ask(t.Context(), "x", ask); got != 7 || err != nil || asked != 1 {
			t.Errorf("%d, %v after %d questions", got, err, asked)
		}
		_, err := s.Ask(t.Context(), "hangs", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a source that hangs: %v", err)
		}
	})
}

func TestFact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down error
		value, asked := 1, 0
		f := outbound.NewFact(func(context.Context) (*int, error) {
			asked++
			if down != nil {
				return nil, down
			}
			v := value
			return &v, nil
		})
		down = errors.New("down")
		for range 200 { // seconds, at each of which somebody asks
			if _, err := f.Get(t.Context()); !errors.Is(err, down) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if asked != 9 { // after 0, 1, 3, 7, 15, 31, 63, 123 and 183 seconds
			t.Errorf("asked %d times", asked)
		}
		down = nil
		if got, err := f.Read(t.Context()); err != nil || *got != 1 {
			t.Errorf("Read: %v", err)
		}
		value, asked = 2, 0
		if got, err := f.Get(t.Context()); err != nil || *got != 1 || asked != 0 {
			t.Errorf("Get: %v", err)
		}
		down = errors.New("down again")
		if _, err := f.Read(t.Context()); !errors.Is(err, down) {
			t.Errorf("Read: %v", err)
		}
		if got, err := f.Get(t.Context()); err != nil || *got != 1 {
			t.Errorf("what was known is forgotten: %v", err)
		}
	})
}
