// Package kerberostest makes tickets for tests, as a browser sends them.
package kerberostest

import (
	"encoding/base64"
	"os"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// The service that the tickets are for.
const (
	Realm   = "EXAMPLE.ORG"
	Service = "HTTP/dex.example.org"
)

// Mechanisms that a negotiation may begin with.
var (
	Kerberos  = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	Microsoft = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
	NTLM      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}
)

func keysOf(t testing.TB, password string) *keytab.Keytab {
	t.Helper()
	k := keytab.New()
	if err := k.AddEntry(Service, Realm, password, time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	return k
}

// WriteKeytab writes a keytab with a key of the service, derived from a password.
func WriteKeytab(t testing.TB, path, password string) {
	t.Helper()
	text, err := keysOf(t, password).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A Ticket is what a browser sends.
type Ticket struct {
	Password    string // that the service's key is derived from
	Name, Realm string
	Claimed     string // the realm in the authenticator; the ticket's if empty
	Start, End  time.Time
	Clock       time.Time // of the client
	Mechanism   asn1.ObjectIdentifier
	Service     string // as the ticket names it
}

// New returns a good ticket for jane, for a service whose key is derived from the password secret.
func New() Ticket {
	now := time.Now().UTC()
	return Ticket{
		Password: "secret", Name: "jane", Realm: Realm, Start: now.Add(-time.Minute), End: now.Add(time.Hour),
		Clock: now, Mechanism: Kerberos, Service: Service,
	}
}

// Bare returns the request alone, without SPNEGO.
func (s Ticket) Bare(t testing.TB) []byte {
	t.Helper()
	name := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, s.Name)
	ticket, session, err := messages.NewTicket(name, s.Realm, types.NewPrincipalName(nametype.KRB_NT_SRV_INST, Service), Realm,
		types.NewKrbFlags(), keysOf(t, s.Password), etypeID.AES256_CTS_HMAC_SHA1_96, 1, s.Start, s.Start, s.End, s.End)
	if err != nil {
		t.Fatal(err)
	}
	ticket.SName = types.NewPrincipalName(nametype.KRB_NT_SRV_INST, s.Service)
	claimed := s.Claimed
	if claimed == "" {
		claimed = s.Realm
	}
	a, err := types.NewAuthenticator(claimed, name)
	if err != nil {
		t.Fatal(err)
	}
	a.CTime = s.Clock
	request, err := messages.NewAPReq(ticket, session, a)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := request.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	oid, err := asn1.Marshal(Kerberos)
	if err != nil {
		t.Fatal(err)
	}
	return asn1tools.AddASNAppTag(append(append(oid, 1, 0), inner...), 0)
}

// Header returns the value of Authorization.
func (s Ticket) Header(t testing.TB) string {
	t.Helper()
	wrapped := spnego.SPNEGOToken{Init: true, NegTokenInit: spnego.NegTokenInit{
		MechTypes: []asn1.ObjectIdentifier{s.Mechanism, Kerberos}, MechTokenBytes: s.Bare(t),
	}}
	text, err := wrapped.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(text)
}
