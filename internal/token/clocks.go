package token

import (
	"context"
	"fmt"
	"time"

	"dex/internal/store"
)

// compareEvery is how often a process compares its clock with those of the others.
const compareEvery = 30 * time.Second

// compareTimeout bounds how long that may take: shorter than the others wait to be told of answers meanwhile.
const compareTimeout = hearTimeout - tellEvery

// Behind returns how far this process's clock is behind that of another replica; zero while they agree as clocks usually do.
func (a *Answers) Behind() time.Duration { return time.Duration(a.behind.Load()) }

// compareClocks finds out whether another process that is alive has told of a time that is still to come here. Of two clocks
// that differ one is behind, and its process tells, on any storage and whether or not that has a clock.
func (a *Answers) compareClocks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	all, err := a.table.List(ctx, store.Query{})
	if err != nil {
		return fmt.Errorf("compare clocks of replicas: %w", err)
	}
	now, revisions, worst, alive := a.now(), make(map[string]string, len(all)), time.Duration(0), false
	for _, e := range all {
		if e.Key == a.self {
			continue
		}
		revisions[e.Key] = e.Revision
		if before, known := a.revisions[e.Key]; known && before != e.Revision {
			alive, worst = true, max(worst, e.Value.At.Sub(now))
		}
	}
	a.revisions = revisions
	switch was := a.Behind(); {
	case !alive && len(revisions) > 0: // nothing new
	case worst <= usualSkew:
		a.behind.Store(0)
	default:
		a.behind.Store(int64(worst))
		if was == 0 {
			a.log.WarnContext(ctx, "this clock is behind that of another replica", "by", worst.Round(time.Second),
				"tolerated", clockSkew)
		}
	}
	return nil
}
