// Cert-gen makes certificates for trying out the management API: an authority, and certificates of a server and of a client.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Lifetimes. Keys of an authority that nobody needs for longer are deleted with the folder.
const authorityLife, leafLife = 10 * 365 * 24 * time.Hour, 365 * 24 * time.Hour

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("cert-gen", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", ".", "`folder` for the files; it is made if it isn't there")
	names := flags.String("san", "127.0.0.1,localhost", "`names` and addresses of the server, with commas between them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: "fake-server"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for name := range strings.SplitSeq(*names, ",") {
		if ip := net.ParseIP(name); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, name)
		}
	}
	client := &x509.Certificate{
		Subject: pkix.Name{CommonName: "fake-client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := errors.Join(ca.write(*dir, "ca"), ca.issue(*dir, "server", server), ca.issue(*dir, "client", client)); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stdout, "wrote ca, server and client, each as .crt and .key, to %s\n", *dir)
	return nil
}

// A pair is a certificate and its key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority() (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "fake-ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return sign(template, template, key, key, authorityLife)
}

// issue makes a certificate that the authority vouches for, and writes it.
func (ca *pair) issue(dir, name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	issued, err := sign(template, ca.certificate, key, ca.key, leafLife)
	if err != nil {
		return err
	}
	return issued.write(dir, name)
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey, life time.Duration) (*pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = template.NotBefore.Add(life)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &pair{certificate, key}, nil
}

// write writes the certificate and its key. Existing files stay as they are: somebody may be using them.
func (p *pair) write(dir, name string) error {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(filepath.Join(dir, name+".crt"), 0o644, "CERTIFICATE", p.certificate.Raw),
		writePEM(filepath.Join(dir, name+".key"), 0o600, "PRIVATE KEY", key),
	)
}

func writePEM(path string, mode fs.FileMode, kind string, der []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the user names the folder
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; name another -dir, or delete it", path)
	}
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Close())
}
