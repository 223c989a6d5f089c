package app_test

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/config"
)

// fillAudit causes records until a server that needs its audit refuses requests.
func fillAudit(t *testing.T, s *server) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		for range 100 {
			if s.get(authPath("response_type", "nonsense")).status == http.StatusServiceUnavailable {
				return
			}
		}
	}
	t.Fatal("requests are not refused although nothing can be recorded")
}

func TestAuditThatIsRequiredRefusesRequests(t *testing.T) {
	var log lockedBuffer
	s := startAuditedAt(t, "/dev/full", eventful, "  required: true\n", &log)
	tokens := s.tokens()
	fillAudit(t, s.server)

	s.token(refreshForm(tokens.text("refresh_token"))).wantError(http.StatusServiceUnavailable, "temporarily_unavailable")
	page := s.get(authPath()).wantStatus(http.StatusServiceUnavailable)
	if page.header.Get("Retry-After") == "" || !strings.Contains(page.body, "Try again in a moment.") {
		t.Errorf("people see %v %s", page.header, page.body)
	}
	for _, path := range []string{"/dex/auth/local", "/dex/auth/local/login", "/dex/callback", "/dex/approval", "/dex/device"} {
		s.get(path).wantStatus(http.StatusServiceUnavailable)
	}
	s.get("/dex/keys").wantStatus(http.StatusOK)
	s.get("/dex/.well-known/openid-configuration").wantStatus(http.StatusOK)
	s.bearer(tokens.text("access_token")).wantStatus(http.StatusOK)
	s.postAs("app", "/dex/token/revoke", form("token", tokens.text("refresh_token"))).wantStatus(http.StatusOK)
	if n := strings.Count(log.take(), "audit output doesn't take records"); n != 1 {
		t.Errorf("the log warns %d times of the output", n)
	}
}

func TestAuditThatIsNotRequiredStopsNobody(t *testing.T) {
	s := startAuditedAt(t, "/dev/full", eventful, "", nil)
	for range 10_500 { // more than the queue has room for
		s.get(authPath("response_type", "nonsense")).wantStatus(http.StatusSeeOther)
	}
	for range 20 {
		s.tokens()
	}
}

func TestAuditGoesOnAfterARestart(t *testing.T) {
	s := startAudited(t, eventful, "  key: "+auditKey+"\n")
	s.tokens()
	s.ends()
	again := startAuditedAt(t, s.path, eventful, "  key: "+auditKey+"\n", nil)
	again.tokens()
	all := again.records()
	if breaks, notes := verified(t, auditKey, s.path); len(breaks) > 0 || slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "no end") }) {
		t.Errorf("breaks %v, notes %v", breaks, notes)
	}
	streams := map[string]bool{}
	for _, r := range all {
		streams[r.text("stream")] = true
	}
	if len(streams) != 2 {
		t.Errorf("there are %d streams", len(streams))
	}
}

func TestAuditInAFolderThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "audit.log")
	yaml := eventful + "audit: {outputs: [{type: file, path: '" + path + "'}]}\n"
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	_, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.DiscardHandler), WrapStore: withKeys(t, plan, nil)})
	if err == nil || !strings.Contains(err.Error(), "audit.outputs[0]") || !strings.Contains(err.Error(), path) {
		t.Errorf("the start says %v", err)
	}
}
