package app_test

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/factor"
	"dex/internal/seal"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// twoOfCrowd starts two replicas on one storage.
func twoOfCrowd(t *testing.T, chain string) (one, two *crowded) {
	t.Helper()
	kept := memory.New()
	t.Cleanup(func() { _ = kept.Close() })
	return startCrowd(t, chain, "", kept), startCrowd(t, chain, "", kept)
}

// over returns the browser at another replica.
func (b *browser) over(s *crowded) *browser { return &browser{s.server, b.jar} }

// A factor whose setting-up has begun at one replica is finished at the other, and then asked for by both.
func TestFactorsAreSetUpAcrossReplicas(t *testing.T) {
	t.Parallel()
	one, two := twoOfCrowd(t, "otp")
	b := one.browser()
	at := b.enter("shop", "ann").at("/mfa/totp?")
	secret := b.appKey(at)
	if again := b.over(two).appKey(at); again != secret {
		t.Error("the other replica shows another key")
	}
	codes := b.over(two).enterCode(at, secret, -1).at("/mfa/codes?")
	b.visit(codes).wantStatus(http.StatusOK)
	if end := b.over(two).post(codes, nil); end.appCode() == "" {
		t.Errorf("led to %s", end.header.Get("Location"))
	}

	asked := two.browser()
	page := asked.enter("shop", "ann").at("/mfa/totp?")
	if first, second := asked.enterCode(page, secret, 0), asked.over(one).enterCode(page, secret, 0); first.appCode() == "" ||
		first.appCode() != second.appCode() {
		t.Errorf("the button pressed twice, at both: %q and %q", first.appCode(), second.appCode())
	}
}

// However often, and wherever, one code of an app is given: it lets one login pass. The same login passes, if the button was pressed
// twice, to the same answer.
func TestOneCodeLetsOneLoginPass(t *testing.T) {
	t.Parallel()
	one, two := twoOfCrowd(t, "otp")
	secret, _ := one.newApp("shop", "ann")
	var all sync.WaitGroup
	codes := make([][2]string, 2)
	for i, first := range []*crowded{one, two} {
		b := first.browser()
		at := b.enter("shop", "ann").at("/mfa/totp?")
		for j, there := range []*crowded{one, two} {
			pressing := b.copyOf().over(there)
			all.Go(func() { codes[i][j] = pressing.enterCode(at, secret, 0).appCode() })
		}
	}
	all.Wait()
	won := 0
	for i := range codes {
		if codes[i][0] == "" && codes[i][1] == "" {
			continue
		}
		won++
		if codes[i][0] != codes[i][1] {
			t.Errorf("the button pressed twice gives %q and %q", codes[i][0], codes[i][1])
		}
	}
	if won != 1 {
		t.Errorf("%d of two logins pass by one code", won)
	}
}

// A challenge is answered once, and only in its own login, at whatever replica, and also while the sealing keys change.
func TestChallengesAcrossReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testChallengesAcrossReplicas)
}

func testChallengesAcrossReplicas(t *testing.T) {
	one, _ := twoOfCrowd(t, "key, otp")
	kept := one.store
	key := newKey()
	b := one.browser()
	first := b.script(scriptAt(b.enter("shop", "ann").at("/mfa/webauthn?"), "register", "begin"), "{}")
	rotateSeals(t, kept)
	two := startCrowd(t, "key, otp", "", kept) // which knows the new key at once
	b = two.browser()
	at := b.enter("shop", "ann").at("/mfa/webauthn?")
	begun := b.script(scriptAt(at, "register", "begin"), "{}").wantStatus(http.StatusOK)
	if first.body == begun.body {
		t.Fatal("one challenge for two logins")
	}
	made, err := key.Create([]byte(begun.body))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // an unknown key is looked for once a second
	b.over(one).script(scriptAt(at, "register", "finish"), string(made)).wantStatus(http.StatusOK)
	if n := len(one.factorOf("ann").Credentials); n != 1 {
		t.Fatalf("%d keys", n)
	}

	login := two.browser()
	at = login.enter("shop", "ann").at("/mfa/webauthn?")
	options := login.script(scriptAt(at, "login", "begin"), "{}").wantStatus(http.StatusOK)
	signed, err := key.Get([]byte(options.body))
	if err != nil {
		t.Fatal(err)
	}
	other := one.browser()
	otherAt := other.enter("shop", "ann").at("/mfa/webauthn?")
	other.script(scriptAt(otherAt, "login", "finish"), string(signed)).wantStatus(http.StatusUnauthorized)
	passed := login.over(one).script(scriptAt(at, "login", "finish"), string(signed)).wantStatus(http.StatusOK)
	next := login.visit(passed.text("redirect")).at("/mfa/totp?")
	for _, again := range []*browser{login, login.over(one)} {
		if twice := again.script(scriptAt(at, "login", "finish"), string(signed)).wantStatus(http.StatusOK); twice.text("redirect") != passed.text("redirect") {
			t.Errorf("the second press is told %s", twice.body)
		}
	}
	other.script(scriptAt(otherAt, "login", "finish"), string(signed)).wantStatus(http.StatusUnauthorized)
	other.visit(otherAt).wantStatus(http.StatusOK) // is where that login still is
	login.appKey(next)
}

// rotateSeals puts a new sealing key into the storage, as another replica does it.
func rotateSeals(t *testing.T, s store.Store) {
	t.Helper()
	r, err := s.Get(t.Context(), seal.Kind.Name(), "ring")
	if err != nil {
		t.Fatal(err)
	}
	var ring struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(r.Data, &ring); err != nil {
		t.Fatal(err)
	}
	ring.Keys = append([]map[string]any{{
		"id": "aaaaa", "secret": []byte(strings.Repeat("k", 32)), "created": time.Now(),
	}}, ring.Keys...)
	if r.Data, err = json.Marshal(ring); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Replace(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// However many guesses, from as many addresses at two replicas at once, are five. DEX_GUESSES says how many.
func TestGuessesAreFew(t *testing.T) {
	t.Parallel()
	one, two := twoOfCrowd(t, "otp")
	secret, codes := one.newApp("shop", "ann")
	b := one.browser()
	at := b.enter("shop", "ann").at("/mfa/totp?")
	recovery := strings.Replace(at, "/mfa/totp?", "/mfa/recovery?", 1)
	wrong := wrongCode(t, secret, 0)
	guesses, err := strconv.ParseInt(cmp.Or(os.Getenv("DEX_GUESSES"), "400"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var checked, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 4 {
		there := b.copyOf().over([]*crowded{one, two}[i%2])
		all.Go(func() {
			for n := range guesses / 4 {
				path, form := at, url.Values{"totp": {wrong}}
				if n%2 == 1 {
					path, form = recovery, url.Values{"code": {"aaaa bbbb cccc dddd"}}
				}
				r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Sec-Fetch-Site", "same-origin")
				switch a := there.elsewhere(r); a.status {
				case http.StatusUnauthorized:
					checked.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
					if a.header.Get("Retry-After") == "" {
						t.Error("nobody is told how long to wait")
					}
				default:
					t.Errorf("a guess gets %d %s", a.status, a.header.Get("Location"))
				}
			}
		})
	}
	all.Wait()
	if checked.Load() != 5 || checked.Load()+refused.Load() != guesses {
		t.Errorf("%d guesses were checked, and %d refused", checked.Load(), refused.Load())
	}
	for path, right := range map[string]url.Values{at: {"totp": {oneTimeCode(t, secret, 0)}}, recovery: {"code": {codes[0]}}} {
		if a := b.post(path, right); a.status != http.StatusTooManyRequests {
			t.Errorf("a right guess too soon gets %d", a.status)
		}
	}
}

// meanwhile does something before somebody's factors are stored for the first time.
type meanwhile struct {
	store.Store
	do func()
}

func (m *meanwhile) Create(ctx context.Context, r store.Record) (string, error) {
	if do := m.do; do != nil && r.Kind == factor.Kind.Name() {
		m.do = nil
		do()
	}
	return m.Store.Create(ctx, r)
}

// Of two logins that set up somebody's first factor at the same moment, one does: the other is asked for it.
func TestOneFactorIsTheFirst(t *testing.T) {
	t.Parallel()
	for _, second := range []string{"otp", "key"} {
		t.Run(second, func(t *testing.T) {
			t.Parallel()
			kept := memory.New()
			t.Cleanup(func() { _ = kept.Close() })
			racing := &meanwhile{Store: kept}
			one, two := startCrowd(t, "either", "", kept), startCrowd(t, "either", "", racing)
			owner, thief := one.browser(), two.browser()
			owners := owner.visit(owner.enter("shop", "ann").at("/mfa/choose?")).links()
			theirs := thief.visit(thief.enter("shop", "ann").at("/mfa/choose?")).links()
			// The owner takes the other kind, so that nothing but its being there stands in the way.
			if second == "key" {
				secret := owner.appKey(owners[0])
				racing.do = func() { owner.enterCode(owners[0], secret, 0).at("/mfa/codes?") }
				a := thief.register(theirs[1], newKey())
				thief.visit(a.text("redirect")).at("/mfa/totp?")
			} else {
				key, secret := newKey(), thief.appKey(theirs[0])
				racing.do = func() { owner.register(owners[1], key).wantStatus(http.StatusOK) }
				thief.enterCode(theirs[0], secret, 0).at("/mfa/webauthn?")
			}
			if r := one.factorOf("ann"); racing.do != nil || len(r.TOTP)+len(r.Credentials) != 1 {
				t.Errorf("%d apps and %d keys are set up", len(r.TOTP), len(r.Credentials))
			}
		})
	}
}

// slowLogin does something before a login is stored that has passed a factor.
type slowLogin struct {
	store.Store
	do func()
}

func (l *slowLogin) Replace(ctx context.Context, r store.Record) (string, error) {
	if do := l.do; do != nil && r.Kind == "login" {
		l.do = nil
		do()
	}
	return l.Store.Replace(ctx, r)
}

// noticed tells, once it is armed, when a user's factors are read.
type noticed struct {
	store.Store
	armed atomic.Bool
	read  chan struct{}
}

func (n *noticed) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if kind == "factor" && n.armed.CompareAndSwap(true, false) {
		defer close(n.read)
	}
	return n.Store.Get(ctx, kind, key)
}

// The button below a recovery code pressed twice, at two replicas, leads to the same, and counts no wrong code; even if it was the last one.
func TestRecoveryCodePressedTwice(t *testing.T) {
	t.Parallel()
	for _, mfa := range []string{"", "  recoveryCodes: 1\n"} {
		t.Run(mfa, func(t *testing.T) {
			t.Parallel()
			kept := memory.New()
			t.Cleanup(func() { _ = kept.Close() })
			slow, seen := &slowLogin{Store: kept}, &noticed{Store: kept, read: make(chan struct{})}
			one, two := startCrowd(t, "otp", mfa, seen), startCrowd(t, "otp", mfa, slow)
			_, codes := one.newApp("shop", "ann")
			b := one.browser()
			at := strings.Replace(b.enter("shop", "ann").at("/mfa/totp?"), "/totp?", "/recovery?", 1)
			again, second := b.copyOf(), make(chan answer, 1)
			slow.do = func() {
				seen.armed.Store(true)
				go func() { second <- again.post(at, url.Values{"code": {codes[0]}}) }()
				<-seen.read // it is under way, and the login is not stored yet
			}
			first := b.over(two).post(at, url.Values{"code": {codes[0]}}).appCode()
			if twice := (<-second).appCode(); first == "" || twice != first {
				t.Errorf("the button pressed twice gives %q and %q", first, twice)
			}
			if wrong := one.factorOf("ann").Guesses.Wrong; wrong != 0 {
				t.Errorf("%d wrong codes", wrong)
			}
		})
	}
}
