package app_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
)

// writeCertificate writes a certificate that lives from one time to another, and its key, into a folder.
func writeCertificate(t *testing.T, dir string, from, to time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"dex.test"}, NotBefore: from, NotAfter: to}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
	}
	if err := errors.Join(write("crt", "CERTIFICATE", cert), write("key", "PRIVATE KEY", der)); err != nil {
		t.Fatal(err)
	}
}

// An expired certificate was loaded without a word of it, and the check passed it.
var _ = faulttest.Add("O7", func(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Now()
	for name, c := range map[string]struct {
		from, to time.Time
		says     string // empty for nothing
	}{
		"fresh":           {now.Add(-day), now.Add(89 * day), ""},
		"due for renewal": {now.Add(-61 * day), now.Add(29 * day), ""},
		"at its end":      {now.Add(-87 * day), now.Add(3*day + time.Hour), "in 3 days"},
		"expired":         {now.Add(-90 * day), now.Add(-2*day - time.Hour), "2 days ago"},
		"not valid yet":   {now.Add(day), now.Add(90 * day), "not valid before"},
		"one of hours":    {now.Add(-time.Hour), now.Add(23 * time.Hour), ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeCertificate(t, dir, c.from, c.to)
			yaml := strings.Replace(configuration, "web: {http: 127.0.0.1:0}", fmt.Sprintf(
				"web: {http: '127.0.0.1:0', https: '127.0.0.1:0', tlsCert: %[1]s/crt, tlsKey: %[1]s/key}", dir), 1)
			plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
			if plan == nil {
				t.Fatal(app.Report(problems))
			}
			report := app.Report(plan.CheckFiles())
			if got := strings.Contains(report, "web.tlsCert: the certificate"); got != (c.says != "") || !strings.Contains(report, c.says) {
				t.Errorf("the check says %s", report)
			}
			var log bytes.Buffer
			a, err := app.New(t.Context(), plan, app.Options{
				Log: slog.New(slog.NewTextHandler(&log, nil)), WrapStore: withKeys(t, plan, nil),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = a.Close() }()
			warned := strings.Contains(log.String(), `level=WARN msg="the certificate`) && strings.Contains(log.String(), c.says)
			if warned != (c.says != "") {
				t.Errorf("the log is %s", &log)
			}
			metrics := (&server{t: t, handler: a.Telemetry()}).get("/metrics").wantStatus(http.StatusOK).body
			want := fmt.Sprintf("dex_certificate_not_after_timestamp_seconds{file=%q} %g", dir+"/crt", float64(c.to.Unix()))
			if !strings.Contains(metrics, want) {
				t.Errorf("the metrics lack %s", want)
			}
		})
	}
})
