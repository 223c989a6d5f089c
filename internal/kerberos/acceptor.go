// Package kerberos accepts the tickets that browsers send (RFC 4559). No other package uses the library that reads them.
package kerberos

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Settings say which tickets are accepted.
type Settings struct {
	Keytab string // path of the keytab with the service's keys
	// Principal is the keytab entry to use, such as HTTP/dex.example.com, with or without a realm; empty for the one that the
	// ticket names.
	Principal string
	Skew      time.Duration // between our clock and the client's
	Log       *slog.Logger
	// Once reports whether a key is seen for the first time: a ticket is good once (RFC 4120, section 3.2.3).
	Once func(ctx context.Context, key string, until time.Time) (bool, error)
}

// A Ticket is whom an accepted ticket names.
type Ticket struct {
	Name  string // without the realm
	Realm string
}

// Values of WWW-Authenticate in the answer to a browser (RFC 4178, section 4.2.2).
const (
	Challenge  = "Negotiate"                                  // there was no ticket
	Incomplete = "Negotiate oRQwEqADCgEBoQsGCSqGSIb3EgECAg==" // what came was no ticket: try Kerberos
	Rejected   = "Negotiate oQcwBaADCgEC"
)

// A RefusedError says why a ticket was refused. Answer is for the browser.
type RefusedError struct {
	Answer string
	Cause  error
}

// Error implements error.
func (r *RefusedError) Error() string { return "ticket refused: " + r.Cause.Error() }

// Unwrap returns the cause.
func (r *RefusedError) Unwrap() error { return r.Cause }

func refuse(answer, format string, args ...any) error {
	return &RefusedError{Answer: answer, Cause: fmt.Errorf(format, args...)}
}

// ErrNoTicket says that a request has no ticket at all.
var ErrNoTicket = errors.New("no ticket")

// An Acceptor accepts tickets for a service. It is safe for concurrent use.
type Acceptor struct {
	settings  Settings
	principal *types.PrincipalName // nil for the ticket's
	keys      keys
}

// Open returns an acceptor, or an error if the keytab can't be read. The keytab is read again when it changes.
func Open(s Settings) (*Acceptor, error) {
	a := &Acceptor{settings: s, keys: keys{path: s.Keytab, log: s.Log}}
	if s.Principal != "" {
		name, _, _ := strings.Cut(s.Principal, "@")
		const serviceAndHost = 2 // KRB_NT_SRV_INST
		principal := types.NewPrincipalName(serviceAndHost, name)
		a.principal = &principal
	}
	return a, a.keys.load()
}

// maxToken bounds a ticket, in characters of base64. Tickets with many groups have tens of thousands.
const maxToken = 96 << 10

// Accept reads an Authorization header that came from an address. The error is ErrNoTicket if there is no ticket, a
// *RefusedError if the ticket is refused, and any other if the ticket could not be checked.
func (a *Acceptor) Accept(ctx context.Context, authorization string, from netip.Addr) (t Ticket, err error) {
	scheme, value, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(scheme, "Negotiate") { // RFC 9110, section 11.1
		return Ticket{}, ErrNoTicket
	}
	value = strings.TrimSpace(value)
	if len(value) > maxToken {
		return Ticket{}, refuse(Rejected, "it is longer than %d characters", maxToken)
	}
	token, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return Ticket{}, refuse(Incomplete, "it is not base64: %w", err)
	}
	request, err := read(token)
	if err != nil {
		return Ticket{}, err
	}
	return a.verify(ctx, request, from)
}

// guard turns a panic of the library into a refusal: its input comes from strangers, and it has panicked before.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = refuse(Rejected, "it can't be read: %v", p)
	}
}

// read finds the request in a token, wrapped in SPNEGO or bare.
func read(token []byte) (request *messages.APReq, err error) {
	defer guard(&err)
	var wrapped spnego.SPNEGOToken
	if err := wrapped.Unmarshal(token); err == nil {
		if !wrapped.Init || len(wrapped.NegTokenInit.MechTypes) == 0 {
			return nil, refuse(Rejected, "it does not begin a negotiation")
		}
		switch mechanism := wrapped.NegTokenInit.MechTypes[0].String(); mechanism {
		case mechanismKerberos, mechanismMicrosoft:
		default: // such as NTLM
			return nil, refuse(Rejected, "its mechanism is %s, not Kerberos", mechanism)
		}
		token = wrapped.NegTokenInit.MechTokenBytes
	}
	var inner spnego.KRB5Token
	if err := inner.Unmarshal(token); err != nil {
		return nil, refuse(Incomplete, "it is not a Kerberos token: %w", err)
	}
	if !inner.IsAPReq() {
		return nil, refuse(Rejected, "it is not a request")
	}
	return &inner.APReq, nil
}

// The mechanism Kerberos, and the OID that early versions of Windows used for it.
const (
	mechanismKerberos  = "1.2.840.113554.1.2.2"
	mechanismMicrosoft = "1.2.840.48018.1.2.2"
)

// verify checks a request (RFC 4120, section 3.2.3).
func (a *Acceptor) verify(ctx context.Context, r *messages.APReq, from netip.Addr) (Ticket, error) {
	if err := a.decrypt(ctx, r, from); err != nil {
		return Ticket{}, err
	}
	inside, shown := &r.Ticket.DecryptedEncPart, &r.Authenticator
	// The library compares only the names, and the client may write any realm into the authenticator.
	if inside.CRealm == "" || shown.CRealm != inside.CRealm || !shown.CName.Equal(inside.CName) {
		return Ticket{}, refuse(Rejected, "it is another principal's")
	}
	name := inside.CName.PrincipalNameString()
	if name == "" {
		return Ticket{}, refuse(Rejected, "it names nobody")
	}
	made := shown.CTime.Add(time.Duration(shown.Cusec) * time.Microsecond)
	key := fmt.Sprintf("%s@%s %s %d", name, inside.CRealm, r.Ticket.SName.PrincipalNameString(), made.UnixNano())
	first, err := a.settings.Once(ctx, key, made.Add(2*a.settings.Skew)) // as long as the skew lets the ticket pass
	if err != nil {
		return Ticket{}, err
	}
	if !first {
		return Ticket{}, refuse(Rejected, "it was used before")
	}
	return Ticket{Name: name, Realm: inside.CRealm}, nil
}

// decrypt opens a ticket with our key, and checks its times and its addresses.
func (a *Acceptor) decrypt(ctx context.Context, r *messages.APReq, from netip.Addr) (err error) {
	defer guard(&err)
	keytab := a.keys.current(ctx)
	address := types.HostAddressFromNetIP(net.IP(from.Unmap().AsSlice()))
	ok, err := r.Verify(keytab, a.settings.Skew, address, a.principal)
	if err != nil {
		return refuse(Rejected, "%w", err)
	}
	if !ok {
		return refuse(Rejected, "it is not valid")
	}
	return nil
}
