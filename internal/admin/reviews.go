package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"dex/internal/kubeapi"
)

const (
	// reviewedFor is how long an answer of the cluster counts; a service account that is deleted meanwhile may call for that long.
	reviewedFor = 30 * time.Second
	// maxReviewed is how many answers are remembered.
	maxReviewed = 1000
	// reviewTimeout bounds a question.
	reviewTimeout = 10 * time.Second
	// maxReviewing is how many questions may be under way: any text that looks like a token leads to one.
	maxReviewing = 8
)

// Reviews asks a Kubernetes cluster whose tokens service accounts' tokens are. It is safe for concurrent use.
type Reviews struct {
	connect  func() (*kubeapi.Client, error)
	audience string
	asking   chan struct{}

	mu     sync.Mutex // not held while the cluster is asked
	client *kubeapi.Client
	known  map[[sha256.Size]byte]reviewed
}

type reviewed struct {
	account ServiceAccount
	refused bool
	until   time.Time
}

// NewReviews returns Reviews of tokens for an audience. It connects when it is first asked.
func NewReviews(connect func() (*kubeapi.Client, error), audience string) *Reviews {
	return &Reviews{
		connect: connect, audience: audience, asking: make(chan struct{}, maxReviewing), known: make(map[[sha256.Size]byte]reviewed),
	}
}

// Review returns whose token one is, or ErrNotReviewed.
func (r *Reviews) Review(ctx context.Context, bearer string) (ServiceAccount, error) {
	key := sha256.Sum256([]byte(bearer))
	answer, known := r.recall(key)
	if !known {
		var err error
		if answer, err = r.ask(ctx, bearer); err != nil {
			return ServiceAccount{}, err
		}
		r.remember(key, answer)
	}
	if answer.refused {
		return ServiceAccount{}, ErrNotReviewed
	}
	return answer.account, nil
}

func (r *Reviews) recall(key [sha256.Size]byte) (reviewed, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer, ok := r.known[key]
	return answer, ok && time.Now().Before(answer.until)
}

func (r *Reviews) remember(key [sha256.Size]byte, answer reviewed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if len(r.known) >= maxReviewed { // refusals go first: anybody can cause any number of them
		maps.DeleteFunc(r.known, func(_ [sha256.Size]byte, a reviewed) bool { return a.refused || !now.Before(a.until) })
	}
	if len(r.known) >= maxReviewed {
		clear(r.known)
	}
	answer.until = now.Add(reviewedFor)
	r.known[key] = answer
}

// tokenReview is what the API server is asked, and answers, at authentication.k8s.io/v1.
type tokenReview struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Spec       reviewSpec `json:"spec"`
	Status     struct {
		Authenticated bool `json:"authenticated"`
		User          struct {
			Username string `json:"username"`
		} `json:"user"`
		Audiences []string `json:"audiences"`
	} `json:"status,omitzero"`
}

type reviewSpec struct {
	Token     string   `json:"token"`
	Audiences []string `json:"audiences"`
}

func (r *Reviews) ask(ctx context.Context, bearer string) (reviewed, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return reviewed{}, context.Cause(ctx)
	}
	client, err := r.connected()
	if err != nil {
		return reviewed{}, err
	}
	request := client.CreateAt("apis/authentication.k8s.io/v1/tokenreviews", tokenReview{
		APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview", Spec: reviewSpec{Token: bearer, Audiences: []string{r.audience}},
	})
	var answer tokenReview
	request.Decode = kubeapi.Into(&answer)
	if err := client.Send(ctx, request); err != nil {
		return reviewed{}, fmt.Errorf("review a token: %w", err)
	}
	// A cluster that knows nothing of audiences leaves them out, and its tokens are for itself (TokenReviewStatus, audiences).
	if !answer.Status.Authenticated || !slices.Contains(answer.Status.Audiences, r.audience) {
		return reviewed{refused: true}, nil
	}
	rest, ok := strings.CutPrefix(answer.Status.User.Username, "system:serviceaccount:")
	namespace, name, both := strings.Cut(rest, ":")
	if !ok || !both {
		return reviewed{refused: true}, nil
	}
	return reviewed{account: ServiceAccount{namespace, name}}, nil
}

// connected returns the client, which the first question makes.
func (r *Reviews) connected() (*kubeapi.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		client, err := r.connect()
		if err != nil {
			return nil, err
		}
		r.client = client
	}
	return r.client, nil
}

// Close closes the connections to the cluster.
func (r *Reviews) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		r.client.Close()
	}
}

// decodeSegment decodes a part of a JWT.
func decodeSegment(segment string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(segment)
}
