package mailtest

import (
	"crypto/x509"
	"encoding/pem"
)

func encodePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
