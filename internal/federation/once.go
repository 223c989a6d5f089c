package federation

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
)

// seen is the record of something that counts once, such as an assertion of a provider.
type seen struct {
	Expires time.Time `json:"expires"`
}

var seenKind = store.Declare(store.Declaration[seen]{
	Name: "seen", Quiet: true,
	Expires: func(s *seen) time.Time { return s.Expires },
})

// clocksApart is how much the clocks of replicas may differ: one must not forget what another still accepts.
const clocksApart = 5 * time.Minute

// once reports whether a key is seen for the first time. All connectors share the keys, as two of them may have the same
// source and accept the same assertion.
func (p *Pool) once(ctx context.Context, key string, until time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(key)) // keys come from strangers and have any length
	_, err := p.seen.Create(ctx, base64.RawURLEncoding.EncodeToString(sum[:]), seen{Expires: until.Add(clocksApart)})
	if errors.Is(err, store.ErrExists) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remember what counts only once: %w", err)
	}
	return true, nil
}
