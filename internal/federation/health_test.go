package federation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// patient is a source that can be asked how it is. What it does when it is opened and asked can be changed.
type patient struct {
	mu     sync.Mutex
	open   func() error
	probe  func(context.Context) error
	opened int
	asked  int
	closed int
}

func (p *patient) set(open func() error, probe func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.probe = open, probe
}

func (p *patient) counts() (opened, asked, closed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened, p.asked, p.closed
}

// questions returns how often the source is asked within a time.
func (p *patient) questions(d time.Duration) int {
	_, before, _ := p.counts()
	pass(d)
	_, after, _ := p.counts()
	return after - before
}

func (p *patient) Open(context.Context, connector.Env) (any, error) {
	p.mu.Lock()
	p.opened++
	open := p.open
	p.mu.Unlock()
	if open != nil {
		if err := open(); err != nil {
			return nil, err
		}
	}
	return &instance{p}, nil
}

// instance is a patient that was opened.
type instance struct{ of *patient }

func (i *instance) Probe(ctx context.Context) error {
	i.of.mu.Lock()
	i.of.asked++
	probe := i.of.probe
	i.of.mu.Unlock()
	if probe == nil {
		return nil
	}
	return probe(ctx)
}

func (i *instance) Close() error {
	i.of.mu.Lock()
	defer i.of.mu.Unlock()
	i.of.closed++
	return nil
}

var errSick = errors.New("the directory has caught a cold")

func sick(context.Context) error { return errSick }

// pass lets time pass in a bubble, and everything happen that is due by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var (
	issuerURL = &url.URL{Scheme: "http", Host: "dex.test"}
	discard   = slog.New(slog.DiscardHandler)
)

// definitions returns connectors of a configuration.
func definitions(configured map[string]connector.Config) []*federation.Definition {
	var all []*federation.Definition
	for id, c := range configured {
		all = append(all, &federation.Definition{ID: id, Type: "patient", Name: id, Config: c})
	}
	return all
}

// A ward is a registry that runs in a bubble.
type ward struct {
	*federation.Whole
	t   *testing.T
	log *strings.Builder
}

// newWard returns a registry over a storage that watches its sources until the test ends.
func newWard(t *testing.T, s store.Store, configured map[string]connector.Config) *ward {
	t.Helper()
	w := &ward{t: t, log: &strings.Builder{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.Whole = federation.NewWhole(definitions(configured), s, issuerURL, log)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		w.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	synctest.Wait()
	return w
}

// of returns how a connector fares.
func (w *ward) of(id string) federation.SourceHealth {
	w.t.Helper()
	all := w.Health()
	i := slices.IndexFunc(all, func(h federation.SourceHealth) bool { return h.ID == id })
	if i < 0 {
		w.t.Fatalf("%s is not among %+v", id, all)
	}
	return all[i]
}

func TestSourcesAreAskedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &patient{}, &patient{}
		w := newWard(t, memory.New(), map[string]connector.Config{"a": a, "b": b})
		if h := w.of("a"); h.Err != nil || h.Checked.IsZero() || w.Failing("a") {
			t.Errorf("at the start: %+v", h)
		}
		if n := a.questions(10 * time.Minute); n < 18 || n > 23 {
			t.Errorf("one that works is asked %d times in ten minutes", n)
		}

		a.set(nil, sick)
		fell := time.Now()
		pass(time.Minute)
		h := w.of("a")
		if !errors.Is(h.Err, errSick) || !w.Failing("a") || h.Failures < 4 || h.Since.Sub(fell) > 40*time.Second {
			t.Errorf("while it fails: %+v", h)
		}
		if w.Failing("b") {
			t.Error("the other one fails too")
		}
		if n := a.questions(10 * time.Minute); n < 108 || n > 135 {
			t.Errorf("one that fails is asked %d times in ten minutes", n)
		}

		a.set(nil, nil)
		pass(6 * time.Second)
		if h := w.of("a"); h.Err != nil || w.Failing("a") || h.Failures != 0 {
			t.Errorf("after it recovered: %+v", h)
		}
		for want, n := range map[string]int{
			`level=ERROR msg="connector fails" id=a type=patient err="` + errSick.Error() + `"`: 1,
			`level=INFO msg="connector works again" id=a`:                                       1,
			"\n": 2,
		} {
			if got := strings.Count(w.log.String(), want); got != n {
				t.Errorf("%d times %q in the log, want %d:\n%s", got, want, n, w.log)
			}
		}
		if opened, _, _ := a.counts(); opened != 1 {
			t.Errorf("opened %d times", opened)
		}
	})
}

func TestSourceThatHangsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf, good := &patient{}, &patient{}
		release := make(chan struct{})
		deaf.set(nil, func(context.Context) error { // it does not heed its context
			<-release
			return nil
		})
		w := newWard(t, memory.New(), map[string]connector.Config{"deaf": deaf, "good": good})
		pass(9 * time.Second)
		if h := w.of("deaf"); !h.Checked.IsZero() {
			t.Errorf("judged before its time was over: %+v", h)
		}
		if h := w.of("good"); h.Checked.IsZero() || h.Err != nil {
			t.Errorf("the good one waits: %+v", h)
		}
		pass(2 * time.Second)
		if h := w.of("deaf"); h.Err == nil || h.Took != 10*time.Second {
			t.Errorf("after its time was over: %+v", h)
		}
		if n := deaf.questions(5 * time.Minute); n != 0 {
			t.Errorf("asked %d times more although it has not answered", n)
		}
		if n := good.questions(5 * time.Minute); n < 8 {
			t.Errorf("the good one is asked %d times in five minutes", n)
		}
		close(release)
		pass(20 * time.Second)
		if w.Failing("deaf") {
			t.Error("it does not recover")
		}
	})
}

func TestSourceThatDoesNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{}
		p.set(func() error { return errSick }, nil)
		w := newWard(t, memory.New(), map[string]connector.Config{"a": p})
		if h := w.of("a"); !errors.Is(h.Err, errSick) {
			t.Errorf("got %+v", h)
		}
		pass(10 * time.Minute)
		if opened, _, _ := p.counts(); opened < 12 || opened > 17 { // 1, 2, 4 ... 60, 60 s
			t.Errorf("tried %d times in ten minutes", opened)
		}
		p.set(nil, nil)
		pass(61 * time.Second)
		if h := w.of("a"); h.Err != nil {
			t.Errorf("it does not recover: %+v", h)
		}
		log := w.log.String()
		if strings.Count(log, `msg="server: Failed to open connector" id=a`) != 1 || strings.Count(log, "works again") != 1 ||
			strings.Count(log, "nobody can sign in") != 1 || strings.Count(log, "\n") != 3 {
			t.Errorf("the log is\n%s", log)
		}
	})
}

func TestSourceWithNothingToAskWorksOnceItIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.down.Store(true)
		w := newWard(t, memory.New(), map[string]connector.Config{"a": s})
		if !w.Failing("a") {
			t.Error("it works although it could not be opened")
		}
		s.down.Store(false)
		pass(1100 * time.Millisecond) // a visitor may come before the background does
		if _, err := w.Open(t.Context(), "a"); err != nil || w.Failing("a") {
			t.Errorf("after it was opened: %+v, error %v", w.of("a"), err)
		}
	})
}

// A source that panics where nobody else would catch it must not end the program.
func TestSourceThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opens, probes := &patient{}, &patient{}
		opens.set(func() error { panic("at opening") }, nil)
		probes.set(nil, func(context.Context) error { panic("when asked") })
		w := newWard(t, memory.New(), map[string]connector.Config{"opens": opens, "probes": probes})
		for id, want := range map[string]string{"opens": "at opening", "probes": "when asked"} {
			if h := w.of(id); h.Err == nil || !strings.Contains(h.Err.Error(), want) {
				t.Errorf("%s: %+v", id, h)
			}
		}
		if !strings.Contains(w.log.String(), "msg=panic") {
			t.Errorf("the log is\n%s", w.log)
		}
	})
}

func TestStoppingToAskIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{}
		p.set(nil, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		r := federation.NewWhole([]*federation.Definition{{ID: "a", Config: p}}, memory.New(), &url.URL{}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			r.Run(ctx)
			close(ended)
		}()
		synctest.Wait()
		stop()
		<-ended
		if r.Failing("a") {
			t.Errorf("it fails because nobody waited for the answer: %+v", r.Health())
		}
	})
}

func TestCheckAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed, asked, good := &patient{}, &patient{}, &patient{}
		closed.set(func() error { return errors.New("no such file") }, nil)
		asked.set(nil, sick)
		var definitions []*federation.Definition
		for id, p := range map[string]*patient{"closed": closed, "asked": asked, "good": good} {
			definitions = append(definitions, &federation.Definition{ID: id, Config: p})
		}
		r := federation.NewWhole(definitions, memory.New(), &url.URL{}, slog.New(slog.DiscardHandler))
		err := r.CheckAll(t.Context())
		for _, want := range []string{`connector "closed"`, "no such file", `connector "asked"`, errSick.Error()} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want %s", err, want)
			}
		}
		if strings.Contains(fmt.Sprint(err), "good") {
			t.Errorf("the good one fails: %v", err)
		}
	})
}

func TestMetricsOfSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, slow := &patient{}, &patient{}
		bad.set(nil, sick)
		slow.set(nil, func(context.Context) error { time.Sleep(time.Second); return nil })
		w := newWard(t, memory.New(), map[string]connector.Config{"bad": bad, "good": &patient{}, "slow": slow})
		scrape := func() map[string]float64 {
			t.Helper()
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(w.Metrics())
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			values := map[string]float64{}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					values[f.GetName()+" "+m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
				}
			}
			return values
		}
		got := scrape()
		if got["dex_connector_up bad patient"] != 0 || got["dex_connector_up good patient"] != 1 || len(got) != 4 {
			t.Errorf("got %v", got)
		}
		if at := got["dex_connector_check_timestamp_seconds good patient"]; at != float64(time.Now().UnixMilli())/1000 {
			t.Errorf("looked at %v", at)
		}
		pass(2 * time.Second)
		if got := scrape(); got["dex_connector_up slow patient"] != 1 || len(got) != 6 {
			t.Errorf("got %v", got)
		}
	})
}
