// Package certificate knows when to warn that a certificate of ours expires.
package certificate

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// expiringWithin is how long before a certificate expires the warnings begin, but no longer than a sixth of its lifetime.
// Automatic renewal has happened by then.
const expiringWithin = 14 * 24 * time.Hour

// Expiring says how soon a certificate expires, that it has, or that it isn't valid yet; empty if nothing needs doing.
func Expiring(c *x509.Certificate, now time.Time) string {
	left := c.NotAfter.Sub(now)
	days := func(d time.Duration) int { return int(d / (24 * time.Hour)) }
	switch {
	case now.Before(c.NotBefore):
		return fmt.Sprintf("the certificate is not valid before %s", c.NotBefore.Format(time.RFC3339))
	case left <= 0:
		return fmt.Sprintf("the certificate expired at %s, %d days ago", c.NotAfter.Format(time.RFC3339), days(-left))
	case left < min(expiringWithin, c.NotAfter.Sub(c.NotBefore)/6):
		return fmt.Sprintf("the certificate expires at %s, in %d days", c.NotAfter.Format(time.RFC3339), days(left))
	}
	return ""
}

// FileExpiring is Expiring for the first certificate in a PEM file. It is empty for a file without one: that error belongs
// to the code that uses the file.
func FileExpiring(file string, now time.Time) string {
	content, err := os.ReadFile(file) //nolint:gosec // G304: the operator names it
	if err != nil {
		return ""
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return ""
		}
		return Expiring(c, now)
	}
	return ""
}
