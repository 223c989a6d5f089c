package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/event"
)

// A collector keeps the records that it gets by OTLP.
type collector struct {
	*httptest.Server
	answer atomic.Pointer[func(w http.ResponseWriter) bool] // false if it has answered
	mu     sync.Mutex
	lines  []string
	asked  int
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked++
		c.mu.Unlock()
		if answer := c.answer.Load(); answer != nil && !(*answer)(w) {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		var request otlpRequest
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&request); err != nil || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Key") != "k" {
			t.Errorf("%v, %v", err, r.Header)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, record := range request.ResourceLogs[0].ScopeLogs[0].LogRecords {
			c.lines = append(c.lines, record.Body.Text)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n") + "\n"
}

func (c *collector) says(answer func(http.ResponseWriter) bool) { c.answer.Store(&answer) }

func (c *collector) whole(t *testing.T, lines, lost int) {
	t.Helper()
	var breaks []string
	v, err := NewVerifier(testKey, func(b Break) { breaks = append(breaks, b.String()) })
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Read("collector", strings.NewReader(c.text())); err != nil {
		t.Fatal(err)
	}
	if len(breaks) > 0 || v.Lines != lines || v.Lost != lost {
		t.Errorf("%d records, want %d; %d are lost, want %d; breaks %v", v.Lines, lines, v.Lost, lost, breaks)
	}
}

func TestCollectorThatComesBack(t *testing.T) {
	c := newCollector(t)
	c.says(func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusServiceUnavailable); return false })
	a, log := begin(t, Output{Type: OTLP, Endpoint: c.URL + "/v1/logs", Headers: map[string]string{"X-Key": "k"}})
	happen(t, a, maxQueued+9) // and the first record of the stream
	eventually(t, "it blocks", func() bool { return a.Blocked() != nil })
	if shown := a.Conditions()[0]; shown.Name != "audit/otlp" || shown.Err == nil {
		t.Errorf("the health shows %v", shown)
	}
	c.says(func(http.ResponseWriter) bool { return true })
	eventually(t, "all is written", func() bool { return a.outlets[0].left() == 0 })
	if err := a.Blocked(); err != nil {
		t.Errorf("it is blocked still: %v", err)
	}
	happen(t, a, 1)
	closed(t, a)
	c.whole(t, maxQueued+3, 10) // with what tells of the loss, one more, and the end
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("the log warns %d times:\n%s", n, log)
	}
	for name, want := range map[string]float64{"dex_audit_dropped_total": 10, "dex_audit_queued_records": 0, "dex_audit_output_up": 1} {
		if got := gathered(t, a)[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// gathered returns the metrics of an audit with one output.
func gathered(t *testing.T, a *Audit) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(a)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return values
}

func TestCollectorThatRefuses(t *testing.T) {
	c := newCollector(t)
	a, _ := begin(t, Output{Type: OTLP, Endpoint: c.URL + "/v1/logs", Headers: map[string]string{"X-Key": "k"}})
	eventually(t, "it starts", func() bool { return a.outlets[0].left() == 0 })
	var once atomic.Bool
	c.says(func(w http.ResponseWriter) bool {
		if once.Swap(true) {
			return true
		}
		w.WriteHeader(http.StatusBadRequest)
		return false
	})
	happen(t, a, 1)
	eventually(t, "the loss is told", func() bool { return strings.Contains(c.text(), string(ReasonAuditDeclined)) })
	closed(t, a)
	c.whole(t, 3, 1)
}

// A server that doesn't read keeps nobody waiting.
func TestServerThatHangs(t *testing.T) {
	release := make(chan struct{})
	c := newCollector(t)
	c.says(func(http.ResponseWriter) bool { <-release; return true })
	a, _ := begin(t, Output{Type: OTLP, Endpoint: c.URL + "/v1/logs", Headers: map[string]string{"X-Key": "k"}})
	start := time.Now()
	happen(t, a, maxQueued)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("events took %v", took)
	}
	eventually(t, "it blocks", func() bool { return a.Blocked() != nil })
	close(release)
	eventually(t, "all is written", func() bool { return a.outlets[0].left() == 0 })
	closed(t, a)
}

func TestSyslogOverTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var got syncBuffer
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for {
				var n int
				if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
					break
				}
				message := make([]byte, n)
				if _, err := io.ReadFull(r, message); err != nil {
					break
				}
				_, _ = got.Write(append(message, '\n'))
				if strings.Contains(string(message), "client 1") {
					break // it hangs up
				}
			}
			_ = conn.Close()
		}
	}()
	a, _ := begin(t, Output{Type: Syslog, Address: "tcp://" + listener.Addr().String(), Facility: 10, AppName: "dex"})
	happen(t, a, 2)
	eventually(t, "it hangs up", func() bool { return strings.Contains(got.String(), "client 1") })
	eventually(t, "that is noticed", func() bool { return a.outlets[0].out.(*syslog).gone.Load() })
	happen(t, a, 1)
	closed(t, a)
	eventually(t, "the end comes", func() bool { return strings.Contains(got.String(), "audit.stopped") })
	lines := strings.Split(strings.TrimSpace(got.String()), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[1], "<85>1 ") || !strings.Contains(lines[1], " dex "+strconv.Itoa(os.Getpid())+" client.unknown - {") {
		t.Errorf("the server got\n%s", strings.Join(lines, "\n"))
	}
}

func TestSyslogByDatagrams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	a, _ := begin(t, Output{Type: Syslog, Address: "unix://" + path, Facility: 1, AppName: "x"})
	buffer := make([]byte, 64<<10)
	_ = socket.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := socket.Read(buffer)
	if err != nil || !strings.HasPrefix(string(buffer[:n]), "<14>1 ") || !strings.Contains(string(buffer[:n]), `"audit.started"`) {
		t.Errorf("%v: %s", err, buffer[:n])
	}
	closed(t, a)
}

// A record that no datagram can hold is lost, and told; those behind it are sent.
func TestSyslogOfARecordThatIsTooLarge(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	a, _ := begin(t, Output{Type: Syslog, Address: "udp://" + socket.LocalAddr().String(), Facility: 10, AppName: "dex"})
	names := slices.Repeat([]string{strings.Repeat("\x01", maxItem)}, maxItems) // each byte takes six in JSON
	all := event.Difference{Added: names, Changed: names, Removed: names}
	a.Emit(t.Context(), event.ConfigurationApplied{ClientChanges: all, UserChanges: all, ConnectorChanges: all})
	happen(t, a, 1)
	eventually(t, "the others are written", func() bool { return a.outlets[0].left() == 0 })
	closed(t, a)
	var got strings.Builder
	buffer := make([]byte, 64<<10)
	for !strings.Contains(got.String(), "audit.stopped") {
		_ = socket.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := socket.ReadFrom(buffer)
		if err != nil {
			t.Fatalf("%v after\n%s", err, got.String())
		}
		_, record, _ := strings.Cut(string(buffer[:n]), " - {")
		got.WriteString("{" + record + "\n")
	}
	v, err := NewVerifier(testKey, func(b Break) { t.Error(b) })
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Read("server", strings.NewReader(got.String())); err != nil || v.Lost != 1 || v.Lines != 4 {
		t.Errorf("%d records, %d lost, %v:\n%s", v.Lines, v.Lost, err, got.String())
	}
	if dropped := gathered(t, a)["dex_audit_dropped_total"]; dropped != 1 {
		t.Errorf("%v records are counted as lost", dropped)
	}
}
