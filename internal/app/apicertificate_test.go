package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/config"
)

// The files of both listeners of the management API are looked at, as those of the pages are.
func TestCertificatesOfTheManagementAPI(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
	for _, section := range []string{"grpc", "api"} {
		yaml := configuration + fmt.Sprintf("%s: {addr: '127.0.0.1:0', tlsCert: %s, tlsKey: %s, tlsClientCA: %s}\n",
			section, filepath.Join(dir, "crt"), filepath.Join(dir, "key"), filepath.Join(dir, "none"))
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
		if plan == nil {
			t.Fatal(app.Report(problems))
		}
		report := app.Report(plan.CheckFiles())
		for _, want := range []string{section + ".tlsCert: the certificate expired at", section + ".tlsClientCA: can't open"} {
			if !strings.Contains(report, want) {
				t.Errorf("%s: the check says %q", section, report)
			}
		}
	}
}

func TestEndOfTheManagementAPIsCertificates(t *testing.T) {
	dir, end := t.TempDir(), time.Now().Add(240*time.Hour)
	writeCertificate(t, dir, time.Now().Add(-time.Hour), end)
	for section, same := range map[string]bool{"grpc": false, "api": false, "grpc and api": true} {
		files := fmt.Sprintf("{addr: '127.0.0.1:0', tlsCert: %[1]s/crt, tlsKey: %[1]s/key}\n", dir)
		yaml := configuration + section + ": " + files
		if same {
			yaml = configuration + "grpc: " + files + "api: " + files
		}
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
		if plan == nil {
			t.Fatal(app.Report(problems))
		}
		core, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.DiscardHandler), WrapStore: withKeys(t, plan, nil)})
		if err != nil {
			t.Fatal(err)
		}
		metrics := (&server{t: t, handler: core.Telemetry()}).get("/metrics").wantStatus(http.StatusOK).body
		if want := fmt.Sprintf("dex_certificate_not_after_timestamp_seconds{file=%q} %g", dir+"/crt", float64(end.Unix())); !strings.Contains(metrics, want) {
			t.Errorf("%s: the metrics lack %s", section, want)
		}
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	}
}
