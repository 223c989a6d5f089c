package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dex/test/servers"
)

// The outputs of TestAuditToRsyslog, as metrics name them.
const (
	bySocket = "syslog"
	byTCP    = "syslog-2"
	byUDP    = "syslog-3"
)

// facilities tell the messages of the outputs apart.
var facilities = map[string]string{"authpriv": bySocket, "local3": byTCP, "local5": byUDP}

// A syslogged server sends its audit to rsyslog in three ways.
type syslogged struct {
	*dex
	server *servers.Rsyslogd
	file   string // the records, as docs/audit.md has rsyslog keep them
}

// startSyslogged starts rsyslog with the directives of docs/audit.md, and a server that sends its audit there.
func startSyslogged(t *testing.T) *syslogged {
	t.Helper()
	file := filepath.Join(os.TempDir(), fmt.Sprintf("dex-audit-%d.log", time.Now().UnixNano())) // where rsyslog may write
	t.Cleanup(func() { _ = os.Remove(file) })
	directives := replaced(t, blockWith(t, "docs/audit.md", "conf", "imuxsock"),
		"SysSock.UseSpecialParser", `SysSock.Name="SOCKET" SysSock.UseSpecialParser`, `port="514"`, `address="127.0.0.1" port="PORT"`,
		"/var/log/dex-audit.log", file)
	directives += "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"PORT\")\n"
	server, err := servers.StartRsyslogd(t.Context(), directives)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, server) })
	c := newConfiguration(t).withAudit(
		section{"type": "syslog", "address": "unix://" + server.Socket},
		section{"type": "syslog", "address": "tcp://" + server.Address, "facility": "local3"},
		section{"type": "syslog", "address": "udp://" + server.Address, "facility": "local5"},
	)
	return &syslogged{startServer(t, binaries.release, c, nil), server, file}
}

func (s *syslogged) restart(t *testing.T) {
	t.Helper()
	if err := s.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// of returns a metric of an output.
func (s *syslogged) of(t *testing.T, metric, output string) int {
	t.Helper()
	return int(s.metric(t, fmt.Sprintf("dex_audit_%s{output=%q}", metric, output)))
}

// delivered waits until outputs work, and all of their records have come.
func (s *syslogged) delivered(t *testing.T, outputs ...string) {
	t.Helper()
	for _, output := range outputs {
		eventually(t, patience, output+" works, and nothing waits", func() bool {
			return s.of(t, "output_up", output) == 1 && s.of(t, "queued_records", output) == 0
		})
	}
	marked := fmt.Sprintf("mark-%d", time.Now().UnixNano()) // a record that comes last
	if _, body := s.fetch(t, s.endpoint("/auth?client_id="+marked)); body == "" {
		t.Error("an unknown client sees nothing")
	}
	eventually(t, patience, "the last record comes", func() bool {
		streams := s.streams(t)
		return !slices.ContainsFunc(outputs, func(output string) bool {
			return !slices.ContainsFunc(streams[output], func(m servers.SyslogMessage) bool { return strings.Contains(m.Message, marked) })
		})
	})
}

// streams returns the messages of each output, in the order in which they came.
func (s *syslogged) streams(t *testing.T) map[string][]servers.SyslogMessage {
	t.Helper()
	messages, err := s.server.Received()
	if err != nil {
		t.Fatal(err)
	}
	streams := map[string][]servers.SyslogMessage{}
	for _, m := range messages {
		if m.AppName == "dex" { // the others are rsyslog's own
			streams[facilities[m.Facility]] = append(streams[facilities[m.Facility]], m)
		}
	}
	return streams
}

// wantFields holds messages to RFC 5424 and to their records.
func (s *syslogged) wantFields(t *testing.T) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	streams := s.streams(t)
	for facility, output := range facilities {
		if len(streams[output]) < 4 {
			t.Errorf("%s: only %d messages came", output, len(streams[output]))
		}
		for _, m := range streams[output] {
			r := auditRecords(t, m.Message)[0]
			at, err := time.Parse(time.RFC3339Nano, r.Time)
			if err != nil {
				t.Fatal(err)
			}
			severity := map[string]string{"success": "info", "failure": "notice"}[r.Outcome]
			want := servers.SyslogMessage{
				Facility: facility, Severity: severity, Version: "1", Timestamp: at.Format("2006-01-02T15:04:05.000000Z"), Host: host,
				AppName: "dex", ProcID: strconv.Itoa(s.cmd.Process.Pid), MsgID: r.Type, Data: "-", Message: m.Message,
			}
			if m != want {
				t.Errorf("%s: a message came as\n%+v\nwant\n%+v", output, m, want)
			}
		}
	}
}

// TestAuditToRsyslog sends an audit to a syslog server that stops, dies, and stays away for long. People go on signing in, and what was
// lost is told.
func TestAuditToRsyslog(t *testing.T) {
	t.Parallel()
	s := startSyslogged(t)
	s.mustLogin(t, "mock")
	s.fetch(t, s.endpoint("/auth?client_id=nobody"))
	s.delivered(t, bySocket, byTCP, byUDP)
	s.wantFields(t)
	verifyAudit(t, s.file).want(t, 0)

	if err := s.server.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.mustLogin(t, "mock")
	}
	for _, output := range []string{bySocket, byTCP} {
		eventually(t, patience, output+" waits", func() bool {
			return s.of(t, "output_up", output) == 0 && s.of(t, "queued_records", output) > 0
		})
	}
	s.restart(t)
	s.delivered(t, bySocket, byTCP)
	s.wantGaps(t, byUDP)

	s.killWhileBusy(t)
	s.restart(t)
	s.delivered(t, bySocket, byTCP)
	s.wantGaps(t, bySocket, byTCP, byUDP)
	for _, output := range []string{bySocket, byTCP, byUDP} {
		if n := s.of(t, "dropped_total", output); n != 0 {
			t.Errorf("%s: %d records are counted as lost", output, n)
		}
	}

	if err := s.server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.misbehave(t.Context(), 10_500); err != nil { // more than a queue has room for
		t.Fatal(err)
	}
	s.mustLogin(t, "mock")
	s.restart(t)
	s.delivered(t, bySocket, byTCP)
	for _, output := range []string{bySocket, byTCP} {
		s.wantTold(t, output)
	}
	if n := strings.Count(s.log.String(), "audit output takes records again"); n < 6 {
		t.Errorf("the log tells %d times that an output works again", n)
	}
}

// killWhileBusy kills the syslog server while people sign in, and lets them go on for a while.
func (s *syslogged) killWhileBusy(t *testing.T) {
	t.Helper()
	busy := make(chan error, 1)
	const people = 60
	go func() {
		busy <- crowd(t.Context(), people, func(ctx context.Context, i int) error {
			if i == people/3 {
				s.server.Kill()
			}
			_, err := s.login(ctx, "mock")
			return err
		})
	}()
	if err := <-busy; err != nil {
		t.Errorf("without a syslog server: %v", err)
	}
}

// gaps returns how many records of a stream are missing between those that came, and how many it tells to be lost.
func gaps(records []auditRecord) (missing, told int) {
	seqs, newest := map[int]bool{}, 0
	for _, r := range records {
		if !seqs[r.Seq] && r.Type == "audit.lost" {
			told += r.Count
		}
		seqs[r.Seq], newest = true, max(newest, r.Seq)
	}
	return newest - len(seqs), told
}

// wantGaps checks that dex audit verify finds as many records missing as are, and that only some outputs lack any.
func (s *syslogged) wantGaps(t *testing.T, mayLack ...string) {
	t.Helper()
	text := readAll(t, s.file) // more may come at any time
	now := writeFile(t, t.TempDir(), "audit.log", text[:strings.LastIndexByte(text, '\n')+1])
	records := map[string][]auditRecord{} // by stream
	for _, r := range auditRecords(t, readAll(t, now)) {
		records[r.Stream] = append(records[r.Stream], r)
	}
	missing, lack := 0, map[string]int{}
	for output, messages := range s.streams(t) {
		lack[output], _ = gaps(records[auditRecords(t, messages[0].Message)[0].Stream])
		missing += lack[output]
		if lack[output] > 0 && !slices.Contains(mayLack, output) {
			t.Errorf("%s lacks %d records", output, lack[output])
		}
	}
	found := 0
	out := verifyAudit(t, now)
	for _, m := range regexp.MustCompile(`: (\d+) records? (?:is|are) missing before this one`).FindAllStringSubmatch(out.stdout, -1) {
		n, _ := strconv.Atoi(m[1])
		found += n
	}
	if found != missing {
		t.Errorf("%d records are missing, and dex audit verify says:\n%s", missing, out.stdout)
	}
	t.Logf("missing without a count: %v", lack)
}

// wantTold checks that an output's stream tells as many records to be lost as are counted.
func (s *syslogged) wantTold(t *testing.T, output string) {
	t.Helper()
	counted := s.of(t, "dropped_total", output)
	var records []auditRecord
	for _, m := range s.streams(t)[output] {
		records = append(records, auditRecords(t, m.Message)...)
	}
	if _, told := gaps(records); told != counted || told < 500 {
		t.Errorf("%s: %d records are counted as lost, and %d are told to be", output, counted, told)
	}
}
