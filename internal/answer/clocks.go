package answer

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
func (l *Ledger) Behind() time.Duration { return time.Duration(l.behind.Load()) }

// compareClocks finds out whether another process that is alive has told a time that is still to come here. Of two clocks that
// differ one is behind, and the process that has it warns. The storage needs no clock for that.
func (l *Ledger) compareClocks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	all, err := l.table.List(ctx, store.Query{})
	if err != nil {
		return fmt.Errorf("compare clocks of replicas: %w", err)
	}
	now, revisions, worst, alive := l.now(), make(map[string]string, len(all)), time.Duration(0), false
	for _, e := range all {
		if e.Key == l.self {
			continue
		}
		revisions[e.Key] = e.Revision
		if before, known := l.revisions[e.Key]; known && before != e.Revision {
			alive, worst = true, max(worst, e.Value.At.Sub(now))
		}
	}
	l.revisions = revisions
	switch was := l.Behind(); {
	case !alive && len(revisions) > 0: // nothing new
	case worst <= store.UsualSkew:
		l.behind.Store(0)
	default:
		l.behind.Store(int64(worst))
		if was == 0 {
			l.log.WarnContext(ctx, "this clock is behind that of another replica", "by", worst.Round(time.Second),
				"tolerated", store.ClockSkew)
		}
	}
	return nil
}
