package backchannel_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/logout/backchannel"
	"dex/internal/signing"
)

func TestClientsAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app", "other", "third")
		w.clients = append(w.clients, &client.Client{ID: "silent"})
		q, _ := w.replica(w.store)
		w.answer("app.test", func(r *http.Request) (int, error) {
			h := r.Header
			if r.Method != http.MethodPost || r.URL.String() != "https://app.test/logout?a=b" ||
				h.Get("Content-Type") != "application/x-www-form-urlencoded" || h.Get("Cache-Control") != "no-cache, no-store" {
				t.Errorf("got %s %s with %v", r.Method, r.URL, h)
			}
			time.Sleep(time.Second)
			return http.StatusOK, nil
		})
		began := time.Now()
		w.end(q, "s", "app", "other", "silent", "gone")
		w.end(q, "s", "app") // again
		time.Sleep(time.Second)
		synctest.Wait()
		got := w.delivered()
		slices.SortFunc(got, func(a, b received) int { return strings.Compare(a.Client, b.Client) })
		if len(got) != 2 || got[0].Client != "app" || got[1].Client != "other" || got[0].TokenID == got[1].TokenID {
			t.Fatalf("got %+v", got)
		}
		for _, g := range got {
			if g.Session != "s" || g.Subject != "jane" || g.At.Sub(began) > time.Second || g.TokenID == "" || g.Issued != began.Unix() {
				t.Errorf("got %+v", g)
			}
		}
		if n := w.waiting(); n != 0 {
			t.Errorf("%d deliveries are left", n)
		}
		if sent := of[event.LogoutTokenSent](&w.events); len(sent) != 2 || sent[0].Attempts != 1 {
			t.Errorf("events: %+v", sent)
		}
	})
}

// A receiver that is down for an hour is told once when it is back, by one of three replicas, and soon.
func TestReceiverThatIsDownIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app")
		w.answer("app.test", down)
		q, end := w.replica(w.store)
		w.replica(w.store)
		w.replica(w.store)
		w.end(q, "s", "app")
		time.Sleep(time.Minute)
		end() // the others go on
		time.Sleep(59 * time.Minute)
		w.answer("app.test", nil)
		time.Sleep(24 * time.Hour)
		got := w.delivered()
		if len(got) != 1 || got[0].Issued != got[0].At.Unix() {
			t.Fatalf("got %+v, want one token, signed when it was sent", got)
		}
		failed := of[event.LogoutTokenFailed](&w.events)
		for i, wait := range []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour} {
			if i >= len(failed) || failed[i].Attempts != i+1 || i > 0 && failed[i].Next.Sub(failed[i-1].Next).Round(time.Minute/4) != wait {
				t.Errorf("attempt %d: %+v", i+1, failed)
				break
			}
		}
		if sent := of[event.LogoutTokenSent](&w.events); len(sent) != 1 || sent[0].Attempts != 7 || len(failed) != 6 || w.waiting() != 0 {
			t.Errorf("events: %+v, %+v; %d are left", sent, failed, w.waiting())
		}
	})
}

func TestReceiverThatStaysDownIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app")
		w.answer("app.test", down)
		q, _ := w.replica(w.store)
		w.replica(w.store)
		w.end(q, "s", "app")
		began := time.Now()
		time.Sleep(23 * time.Hour)
		if n := w.waiting(); n != 1 {
			t.Fatalf("%d deliveries wait after 23 h", n)
		}
		time.Sleep(2 * time.Hour)
		w.answer("app.test", nil)
		time.Sleep(24 * time.Hour)
		given := of[event.LogoutTokenGivenUp](&w.events)
		if len(given) != 1 || given[0].ClientID != "app" || given[0].Err == nil || given[0].Attempts != len(of[event.LogoutTokenFailed](&w.events))+1 {
			t.Errorf("events: %+v", given)
		}
		if got := w.delivered(); len(got) != 0 || w.waiting() != 0 {
			t.Errorf("%v later: got %+v, and %d are left", time.Since(began), got, w.waiting())
		}
	})
}

func TestReplicasDeliverOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app")
		var queues []*backchannel.Queue
		for range 3 {
			q, _ := w.replica(w.store)
			queues = append(queues, q)
		}
		var busy atomic.Bool
		busy.Store(true)
		w.answer("app.test", func(*http.Request) (int, error) {
			if busy.Load() {
				return http.StatusServiceUnavailable, nil
			}
			return http.StatusOK, nil
		})
		const sessions = 60
		for i := range sessions {
			w.end(queues[i%3], fmt.Sprint(i), "app")
			w.end(queues[(i+1)%3], fmt.Sprint(i), "app")
		}
		time.Sleep(time.Minute)
		busy.Store(false)
		time.Sleep(time.Hour)
		seen := map[string]int{}
		for _, g := range w.delivered() {
			seen[g.Session]++
		}
		for i := range sessions {
			if n := seen[fmt.Sprint(i)]; n != 1 {
				t.Errorf("session %d was told %d times", i, n)
			}
		}
	})
}

// Receivers that hang, with much to be told, delay no other.
func TestReceiversThatHangDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"app"}
		for i := range 7 {
			names = append(names, fmt.Sprintf("hangs%d", i))
		}
		w := newWorld(t, names...)
		var mu sync.Mutex
		busy, most := map[string]int{}, map[string]int{}
		for _, name := range names[1:] {
			w.answer(name+".test", func(r *http.Request) (int, error) {
				mu.Lock()
				busy[name]++
				most[name] = max(most[name], busy[name])
				mu.Unlock()
				defer func() { mu.Lock(); busy[name]--; mu.Unlock() }()
				return hang(r)
			})
		}
		q, _ := w.replica(w.store)
		for i := range 50 {
			w.end(q, fmt.Sprint(i), names[1:]...)
		}
		for i := range 20 {
			began := time.Now()
			w.end(q, fmt.Sprint("fast ", i), "app")
			synctest.Wait()
			if got := w.delivered(); len(got) != i+1 || !got[i].At.Equal(began) {
				t.Fatalf("session %d was told late: %+v", i, got)
			}
			time.Sleep(7 * time.Second)
		}
		mu.Lock()
		defer mu.Unlock()
		for name, n := range most {
			if n != 2 {
				t.Errorf("%s had %d requests at once", name, n)
			}
		}
		failed := of[event.LogoutTokenFailed](&w.events)
		if len(failed) == 0 || !errors.Is(failed[0].Err, context.DeadlineExceeded) {
			t.Errorf("events: %+v", failed)
		}
	})
}

// An eighth and more receivers that hang take all the room, and yet everybody gets a turn soon.
func TestHostsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"app"}
		for i := range 40 {
			names = append(names, fmt.Sprintf("hangs%d", i))
		}
		w := newWorld(t, names...)
		for _, name := range names[1:] {
			w.answer(name+".test", hang)
		}
		q, _ := w.replica(w.store)
		for i := range 5 {
			w.end(q, fmt.Sprint(i), names[1:]...)
		}
		time.Sleep(time.Second)
		w.end(q, "s", "app")
		time.Sleep(20 * time.Second)
		if got := w.delivered(); len(got) != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// A process that dies between the answer and the write, or before the request, leaves it to another one.
func TestAnotherReplicaTakesOver(t *testing.T) {
	for _, c := range []struct {
		name string
		told bool // before the process died
	}{{"before the request", false}, {"after the answer", true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "app")
				dying := &mortal{Store: w.store}
				w.answer("app.test", func(*http.Request) (int, error) {
					if !dying.dead.Swap(true) && !c.told {
						return 0, errors.New("died")
					}
					return http.StatusOK, nil
				})
				q, _ := w.replica(dying)
				w.end(q, "s", "app")
				w.replica(w.store)
				time.Sleep(29 * time.Second)
				before := w.delivered()
				time.Sleep(20 * time.Second)
				got := w.delivered()
				want := 1
				if c.told {
					want = 2 // at least once
				}
				if len(before) != want-1 || len(got) != want || got[0].TokenID != got[want-1].TokenID || w.waiting() != 0 {
					t.Errorf("got %+v, and %d are left", got, w.waiting())
				}
			})
		})
	}
}

// A storage that fails for a while after the answer doesn't make the client be told again.
func TestStorageFailsAfterTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app")
		failing := &mortal{Store: w.store}
		w.answer("app.test", func(*http.Request) (int, error) { failing.dead.Store(true); return http.StatusOK, nil })
		q, _ := w.replica(failing)
		w.replica(w.store)
		w.end(q, "s", "app")
		time.Sleep(20 * time.Second)
		failing.dead.Store(false)
		time.Sleep(time.Hour)
		if got := w.delivered(); len(got) != 1 || w.waiting() != 0 {
			t.Errorf("got %+v, and %d are left", got, w.waiting())
		}
	})
}

// What has begun when the server ends is finished.
func TestEndWaitsForAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app", "hangs")
		w.answer("app.test", func(*http.Request) (int, error) { time.Sleep(3 * time.Second); return http.StatusOK, nil })
		w.answer("hangs.test", hang)
		q, end := w.replica(w.store)
		w.end(q, "s", "app", "hangs")
		synctest.Wait()
		began := time.Now()
		end()
		if took := time.Since(began); took != 5*time.Second || len(w.delivered()) != 1 || w.waiting() != 1 {
			t.Errorf("took %v, got %+v, and %d are left", took, w.delivered(), w.waiting())
		}
	})
}

func TestAddFailsWithTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app")
		failing := &mortal{Store: w.store}
		failing.dead.Store(true)
		q, _ := w.replica(failing)
		for _, clientID := range []string{"app", "stored"} {
			err := q.Add(t.Context(), backchannel.Ended{SessionID: "s", Subject: "jane", ClientIDs: []string{clientID}})
			if !errors.Is(err, errDead) {
				t.Errorf("%s: got %v", clientID, err)
			}
		}
	})
}

// A logout token is signed as the client's ID tokens are (OpenID Connect Back-Channel Logout, section 2.4).
func TestLogoutTokensHaveTheClientsAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app", "other")
		w.clients[1].Tokens = &client.Tokens{IDTokenSignedResponseAlg: signing.EdDSA}
		q, _ := w.replica(w.store)
		for host, algorithm := range map[string]string{"app.test": signing.ES256, "other.test": signing.EdDSA} {
			w.answer(host, func(r *http.Request) (int, error) {
				if err := r.ParseForm(); err != nil {
					return 0, err
				}
				text := r.PostForm.Get("logout_token")
				header, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[0])
				if _, verifyErr := w.keys.Verify(text); err != nil || verifyErr != nil || !strings.Contains(string(header), `"alg":"`+algorithm+`"`) {
					t.Errorf("%s gets a token with the header %s: %v", host, header, verifyErr)
				}
				return http.StatusOK, nil
			})
		}
		w.end(q, "s", "app", "other")
		synctest.Wait()
		if got := w.delivered(); len(got) != 2 {
			t.Errorf("got %+v", got)
		}
	})
}
