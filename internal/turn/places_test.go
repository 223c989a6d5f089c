package turn

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hold takes up to so many places that are there without waiting, and returns what gives them back.
func hold(t *testing.T, p *Places, network string, most int) (held []func()) {
	t.Helper()
	for range most {
		p.mu.Lock()
		may := p.served.may(network)
		p.mu.Unlock()
		if !may {
			return held
		}
		done, ok := p.take(t.Context(), network)
		if !ok {
			t.Fatalf("%s has no place", network)
		}
		held = append(held, done)
	}
	return held
}

func (p *Places) wantEmpty(t *testing.T, places int) {
	t.Helper()
	if p.served.free != places || len(p.served.held) != 0 || p.inLine.free != places || len(p.inLine.held) != 0 || len(p.queue.waiting) != 0 {
		t.Errorf("left are %+v, in line %+v", p.served, p.inLine)
	}
}

func TestPlacesAreShared(t *testing.T) {
	const places = 1024
	for _, c := range []struct{ networks, each int }{{1, 512}, {2, 341}, {3, 256}, {100, 10}, {2000, 1}} {
		t.Run(strconv.Itoa(c.networks), func(t *testing.T) {
			p := NewPlaces(places)
			var held []func()
			for range places { // they come side by side
				for n := range c.networks {
					held = append(held, hold(t, p, fmt.Sprint(n), 1)...)
				}
			}
			for n := range min(c.networks, places) {
				if got := p.served.held[fmt.Sprint(n)]; got < c.each-1 || got > c.each+1 {
					t.Errorf("network %d has %d, want about %d", n, got, c.each)
				}
			}
			if c.networks < places && len(hold(t, p, "new", 1)) != 1 {
				t.Error("a new network has to wait")
			} else if c.networks < places {
				p.giveBack("new")
			}
			for _, done := range held {
				done()
			}
			p.wantEmpty(t, places)
		})
	}
}

// Networks take turns in line. Those who wait too long or go away leave nothing.
func TestPlacesInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(8)
		var held []func()
		for n := range 8 {
			held = append(held, hold(t, p, fmt.Sprint("busy ", n), 1)...)
		}
		var mu sync.Mutex
		var order, refused []string
		var group sync.WaitGroup
		wait := func(ctx context.Context, network string) {
			group.Go(func() {
				done, ok := p.take(ctx, network)
				mu.Lock()
				defer mu.Unlock()
				if !ok {
					refused = append(refused, network)
					return
				}
				order = append(order, network)
				defer time.AfterFunc(time.Second, done)
			})
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		for range 5 { // one too many for the line
			wait(t.Context(), "crowd")
		}
		wait(gone, "gone")
		wait(t.Context(), "ann")
		mu.Lock()
		if len(held) != 8 || fmt.Sprint(refused) != "[crowd]" {
			t.Fatalf("%d are served, refused are %v", len(held), refused)
		}
		mu.Unlock()
		leave()
		synctest.Wait()
		for range 3 {
			held[0]()
			held = held[1:]
			synctest.Wait()
		}
		mu.Lock()
		if fmt.Sprint(order) != "[crowd ann]" { // the crowd's second one would need more than one free place
			t.Errorf("the order is %v", order)
		}
		mu.Unlock()
		start := time.Now()
		group.Wait()
		if took := time.Since(start); took > patience {
			t.Errorf("they waited for %s", took)
		}
		time.Sleep(patience)
		for _, done := range held {
			done()
		}
		p.wantEmpty(t, 8)
	})
}

// Places that are given back while others go away are neither lost nor given twice.
func TestPlacesUnderStress(t *testing.T) {
	p := NewPlaces(4)
	var group sync.WaitGroup
	for n := range 20 {
		group.Go(func() {
			for i := range 500 {
				ctx, leave := context.WithTimeout(t.Context(), time.Duration(i%5)*10*time.Microsecond)
				if done, ok := p.take(ctx, fmt.Sprint(n%7)); ok {
					done()
				}
				leave()
			}
		})
	}
	group.Wait()
	p.wantEmpty(t, 4)
}

func BenchmarkPlaces(b *testing.B) {
	p := NewPlaces(1024)
	for b.Loop() {
		done, ok := p.Take(b.Context())
		if !ok {
			b.Fatal("no place")
		}
		done()
	}
}
