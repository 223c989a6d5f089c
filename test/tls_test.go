package e2e

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// secretVolume is a folder as Kubernetes mounts a secret: the files are links through ..data, which is replaced as a whole.
type secretVolume struct {
	dir     string
	version int
}

func newSecretVolume(t *testing.T, cert, key string) *secretVolume {
	t.Helper()
	v := &secretVolume{dir: t.TempDir()}
	v.replace(t, cert, key)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v *secretVolume) certFile() string { return filepath.Join(v.dir, "tls.crt") }
func (v *secretVolume) keyFile() string  { return filepath.Join(v.dir, "tls.key") }

// replace swaps the link to the folder of the files, atomically.
func (v *secretVolume) replace(t *testing.T, cert, key string) {
	t.Helper()
	v.version++
	name := fmt.Sprintf("..version_%d", v.version)
	if err := os.Mkdir(filepath.Join(v.dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(v.dir, name), "tls.crt", cert)
	writeFile(t, filepath.Join(v.dir, name), "tls.key", key)
	next := filepath.Join(v.dir, "..data_tmp")
	if err := os.Symlink(name, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(v.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// startSecured starts a server that reads its certificate from the volume.
func startSecured(t *testing.T, ca *authority, v *secretVolume) *dex {
	t.Helper()
	return startServer(t, binaries.dex, newConfiguration(t).withTLS(t, v.certFile(), v.keyFile()), ca.pool())
}

// serial returns the serial number of the certificate that a new client gets.
func (d *dex) serial(t *testing.T, ca *authority) int64 {
	t.Helper()
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", issuer.Host, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestCertificateIsReplacedWhileServing shows that a secret renewed by Kubernetes is served without a restart, and that a
// broken one does no harm.
func TestCertificateIsReplacedWhileServing(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, 11)
	volume := newSecretVolume(t, cert, key)
	d := startSecured(t, ca, volume)
	if got := d.serial(t, ca); got != 11 {
		t.Fatalf("certificate %d is served, want 11", got)
	}
	d.mustLogin(t, "local")

	newCert, newKey := ca.issue(t, 12)
	volume.replace(t, newCert, newKey)
	eventually(t, patience, "the new certificate is served", func() bool { return d.serial(t, ca) == 12 })
	d.mustLogin(t, "local")

	otherCert, _ := ca.issue(t, 13)
	volume.replace(t, otherCert, newKey) // which doesn't belong to it
	eventually(t, patience, "the broken pair is in the log", func() bool {
		return strings.Contains(d.log.String(), "reload TLS config")
	})
	if got := d.serial(t, ca); got != 12 {
		t.Errorf("after a broken pair certificate %d is served, want 12", got)
	}

	volume.replace(t, cert, key)
	eventually(t, patience, "the repaired pair is served", func() bool { return d.serial(t, ca) == 11 })
}

// TestHangupReloadsTheCertificate shows that SIGHUP reloads the files at once, and that a broken pair doesn't end the process.
func TestHangupReloadsTheCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, 21)
	volume := newSecretVolume(t, cert, key)
	d := startSecured(t, ca, volume)
	loads := func() int { return strings.Count(d.log.String(), "TLS certificate loaded") }

	// The files haven't changed, so only the signal can be the reason for a reload.
	before := loads()
	d.signal(t, syscall.SIGHUP)
	eventually(t, patience, "the certificate is loaded again", func() bool { return loads() > before })

	if err := os.Remove(volume.keyFile()); err != nil {
		t.Fatal(err)
	}
	d.signal(t, syscall.SIGHUP)
	eventually(t, patience, "the missing key is in the log", func() bool {
		return strings.Contains(d.log.String(), "reload TLS config")
	})
	if got := d.serial(t, ca); got != 21 {
		t.Errorf("certificate %d is served, want 21", got)
	}
}

// TestHangupWithoutTLSIsHarmless sends SIGHUP, which would end a process that doesn't handle it.
func TestHangupWithoutTLSIsHarmless(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t))
	for range 3 {
		d.signal(t, syscall.SIGHUP)
		d.mustLogin(t, "mock")
	}
}

// TestOldTLSIsRefused shows that the server refuses versions below TLS 1.2, and speaks HTTP/2.
func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, 31)
	d := startSecured(t, ca, newSecretVolume(t, cert, key))
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	old := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", issuer.Host, old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	modern := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	conn, err := tls.Dial("tcp", issuer.Host, modern)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Errorf("protocol %q, want h2", got)
	}
}
