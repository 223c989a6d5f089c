package relyingparty

import (
	"container/list"
	"crypto/sha256"
	"net/http"
	"sync"

	"dex/internal/outbound"
)

// Bounds of what is remembered, in bytes.
const (
	maxRemembered = 16 << 20
	maxOneAnswer  = 256 << 10
	overhead      = 512 // of an answer beside its header and body
)

// answers remembers what an API has answered, so that the same question, by the same access token, can be asked on a condition
// (RFC 9110, section 13.1.2): an API that says that nothing has changed does less work, and GitHub's counts no call. The API
// decides each time whether the token is still good. The zero value is ready; nil remembers nothing.
type answers struct {
	mu    sync.Mutex // guards the rest
	known map[[sha256.Size]byte]*list.Element
	used  list.List // of *remembered, the last used first
	size  int
}

type remembered struct {
	key    [sha256.Size]byte
	answer *outbound.Answer
	size   int
}

// question returns what a request asks, and by which token.
func question(r *http.Request) [sha256.Size]byte {
	return sha256.Sum256([]byte(r.Header.Get("Authorization") + "\n" + r.URL.String()))
}

// ask makes a request conditional if its answer is remembered, and returns that answer.
func (a *answers) ask(r *http.Request) (*outbound.Answer, bool) {
	if a == nil || r.Method != http.MethodGet {
		return nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	element, ok := a.known[question(r)]
	if !ok {
		return nil, false
	}
	a.used.MoveToFront(element)
	answer := element.Value.(*remembered).answer
	r.Header.Set("If-None-Match", answer.Header.Get("ETag"))
	return answer, true
}

// keep remembers the answer to a request, if it can be asked for on a condition.
func (a *answers) keep(r *http.Request, answer *outbound.Answer) {
	if a == nil || r.Method != http.MethodGet || answer.Status != http.StatusOK || answer.Header.Get("ETag") == "" {
		return
	}
	latest := &remembered{key: question(r), answer: answer, size: overhead + len(answer.Body)}
	for name, values := range answer.Header {
		for _, value := range values {
			latest.size += len(name) + len(value)
		}
	}
	if latest.size > maxOneAnswer {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = map[[sha256.Size]byte]*list.Element{}
	}
	if old, ok := a.known[latest.key]; ok {
		a.forget(old)
	}
	a.known[latest.key] = a.used.PushFront(latest)
	for a.size += latest.size; a.size > maxRemembered; {
		a.forget(a.used.Back())
	}
}

// forget is called with the lock held.
func (a *answers) forget(element *list.Element) {
	gone := a.used.Remove(element).(*remembered)
	delete(a.known, gone.key)
	a.size -= gone.size
}
