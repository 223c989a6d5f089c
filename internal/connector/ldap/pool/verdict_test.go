package pool

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// adMessage is the text that Active Directory adds to invalidCredentials.
func adMessage(code string) string {
	return "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data " + code + ", v4563\x00"
}

// policy returns the control of a password policy with an error; negative for none.
func policyError(code int) *ber.Packet {
	value := ber.NewSequence("PasswordPolicyResponseValue")
	if code >= 0 {
		value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, uint64(code), "error"))
	}
	return control(ldap.ControlTypeBeheraPasswordPolicy, value.Bytes())
}

// policyWarning returns the control with a warning: 0 is timeBeforeExpiration, 1 graceAuthNsRemaining.
func policyWarning(kind ber.Tag, value int64, more ...*ber.Packet) *ber.Packet {
	all, warning := ber.NewSequence(""), ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "warning")
	warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, kind, value, ""))
	all.AppendChild(warning)
	for _, p := range more {
		all.AppendChild(p)
	}
	return control(ldap.ControlTypeBeheraPasswordPolicy, all.Bytes())
}

func TestReasons(t *testing.T) {
	const (
		accepted = Reason(-1)
		noReason = Reason(-2) // an error that is not a *Refused
		invalid  = ldap.LDAPResultInvalidCredentials
	)
	expired := ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, 0, "error")
	netscape := control(ldap.ControlTypeVChuPasswordMustChange, []byte("0"))
	for _, c := range []struct {
		name   string
		answer bindAnswer
		want   Reason
	}{
		{"right", bindAnswer{}, accepted},
		{"wrong", bindAnswer{code: invalid}, WrongPassword},
		{"constraint violation", bindAnswer{code: ldap.LDAPResultConstraintViolation}, WrongPassword},

		{"AD: no such user", bindAnswer{code: invalid, message: adMessage("525")}, WrongPassword},
		{"AD: wrong", bindAnswer{code: invalid, message: adMessage("52e")}, WrongPassword},
		{"AD: hour", bindAnswer{code: invalid, message: adMessage("530")}, NotNow},
		{"AD: machine", bindAnswer{code: invalid, message: adMessage("531")}, NotNow},
		{"AD: password expired", bindAnswer{code: invalid, message: adMessage("532")}, PasswordExpired},
		{"AD: disabled", bindAnswer{code: invalid, message: adMessage("533")}, AccountDisabled},
		{"AD: account expired", bindAnswer{code: invalid, message: adMessage("701")}, AccountExpired},
		{"AD: must change", bindAnswer{code: invalid, message: adMessage("773")}, MustChange},
		{"AD: locked", bindAnswer{code: invalid, message: adMessage("775")}, AccountLocked},
		{"AD: upper case", bindAnswer{code: invalid, message: "ERROR, DATA 775, V1"}, AccountLocked},
		{"AD: unknown", bindAnswer{code: invalid, message: adMessage("999")}, WrongPassword},
		{"a code in another word", bindAnswer{code: invalid, message: "metadata 7755"}, WrongPassword},

		{"policy: locked", bindAnswer{code: invalid, controls: []*ber.Packet{policyError(1)}}, AccountLocked},
		{"policy: expired", bindAnswer{code: invalid, controls: []*ber.Packet{policyError(0)}}, PasswordExpired},
		{"policy: must change", bindAnswer{controls: []*ber.Packet{policyError(2)}}, MustChange},
		{"policy: of modifications", bindAnswer{controls: []*ber.Packet{policyError(6)}}, accepted},
		{"policy: nothing to say", bindAnswer{controls: []*ber.Packet{policyError(-1)}}, accepted},
		{"policy: wrong, nothing to say", bindAnswer{code: invalid, controls: []*ber.Packet{policyError(-1)}}, WrongPassword},
		{"policy: expires soon", bindAnswer{controls: []*ber.Packet{policyWarning(0, 3600)}}, accepted},
		{"policy: grace", bindAnswer{controls: []*ber.Packet{policyWarning(1, 2)}}, accepted},
		{"policy: the last grace", bindAnswer{controls: []*ber.Packet{policyWarning(1, 0, expired)}}, accepted},

		{"389: expired", bindAnswer{code: invalid, message: "password expired!", controls: []*ber.Packet{netscape}}, PasswordExpired},
		{"389: disabled", bindAnswer{
			code: ldap.LDAPResultUnwillingToPerform, message: "Account inactivated. Contact system administrator.",
		}, AccountDisabled},
		{"unwilling", bindAnswer{code: ldap.LDAPResultUnwillingToPerform, message: "not today"}, noReason},
		{"no TLS", bindAnswer{code: ldap.LDAPResultConfidentialityRequired, message: "TLS required"}, noReason},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				f.binds[userDN] = c.answer
				p := newPool(t, nil, f, g)
				err := p.Bind(t.Context(), userDN, userPW)
				if g.dialed > 0 || f.openNow() != 1 {
					t.Error("the answer is taken for that of a server that fails")
				}
				refused, isRefused := errors.AsType[*Refused](err)
				switch {
				case c.want == accepted:
					if err != nil {
						t.Errorf("error %v", err)
					}
				case c.want == noReason:
					if err == nil || isRefused {
						t.Errorf("error %v, want one without a reason", err)
					}
				case !isRefused:
					t.Errorf("error %v, want %q", err, c.want)
				case refused.Reason != c.want:
					t.Errorf("reason %q, want %q", refused.Reason, c.want)
				}
			})
		})
	}
}

// TestUnaskable has what a server might accept without checking it.
func TestUnaskable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.binds[userDN], f.binds[""], f.binds[" "] = bindAnswer{}, bindAnswer{}, bindAnswer{}
		p := newPool(t, nil, f)
		for _, password := range []string{"", "\x00", "\x00abc"} {
			err := p.Bind(t.Context(), userDN, password)
			if refused, ok := errors.AsType[*Refused](err); !ok || refused.Reason != WrongPassword {
				t.Errorf("password %q: error %v", password, err)
			}
		}
		for _, dn := range []string{"", " "} {
			if err := p.Bind(t.Context(), dn, userPW); err == nil {
				t.Errorf("DN %q is accepted", dn)
			}
		}
		if f.dialed > 0 {
			t.Error("a server was asked")
		}
	})
}

// dialerOf returns a dialer to a server that is a function.
func dialerOf(serve func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer func() { _ = server.Close() }()
			serve(server)
		}()
		return client, nil
	}
}
