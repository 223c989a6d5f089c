package config

import (
	"encoding/hex"
	"net"
	"path/filepath"
	"slices"
	"strings"
)

// unixScheme begins the address of a Unix socket.
const unixScheme = "unix://"

// UnixSocket returns the path of the Unix socket that an address names; false if it is another kind of address.
func UnixSocket(address string) (path string, ok bool) { return strings.CutPrefix(address, unixScheme) }

// AccessRoles are what a caller of the management API can be allowed.
var AccessRoles = []string{"read", "clients", "users", "connectors", "all"}

// StandardCodes are gRPC status codes that say what went wrong; upstream's are all Unknown.
const StandardCodes = "standard"

func (v *validator) grpc() {
	g := v.cfg.GRPC
	v.OptionalOf("grpc.statusCodes", g.StatusCodes, statusCodes)
	v.door(door{
		section: "grpc", addr: &v.cfg.GRPC.Addr, usual: "127.0.0.1:5557", cert: g.TLSCert, key: g.TLSKey, clientCA: g.TLSClientCA,
		lowest: g.TLSMinVersion, highest: g.TLSMaxVersion, anonymous: g.InsecureAnonymous, otherwise: ", or grpc.insecureAnonymous: true where something else keeps strangers out",
	})
}

// A door is a listener of the management API.
type door struct {
	section, usual  string
	addr            *string
	cert, key       string
	clientCA        string
	lowest, highest string
	anonymous       bool
	otherwise       string // how else a listener that nothing guards may be reached
}

func (v *validator) door(d door) {
	v.adminListener(d.section+".addr", *d.addr)
	v.tlsVersions(d.section, d.lowest, d.highest)
	if d.cert == "" && d.key == "" {
		if d.clientCA != "" {
			v.Errorf(d.section+".tlsClientCA", "needs tlsCert and tlsKey too: clients can show certificates only with TLS")
			return
		}
		v.reachable(d)
		return
	}
	if *d.addr == "" {
		v.Errorf(d.section+".addr", "is required where tlsCert or tlsKey is given, as in %s", d.usual)
	}
	v.Required(d.section+".tlsCert", d.cert, "tlsCert and tlsKey go together")
	v.Required(d.section+".tlsKey", d.key, "tlsCert and tlsKey go together")
	v.reachable(d)
}

// adminListener checks the address of a listener that may be a Unix socket.
func (v *validator) adminListener(key, address string) {
	path, socket := UnixSocket(address)
	switch {
	case !socket:
		v.listener(key, address)
	case !filepath.IsAbs(path):
		v.Errorf(key, "%q must have an absolute path, as in unix:///run/dex/admin.sock", address)
	}
}

// reachable warns of a listener that strangers may reach, and holds it to this machine if they could do everything there.
func (v *validator) reachable(d door) {
	addr := *d.addr
	host, port, err := net.SplitHostPort(addr)
	if err != nil || v.listeners[addr] != d.section+".addr" || IsLoopback(host) {
		return // a socket, wrong, or out of strangers' reach
	}
	switch guarded := d.clientCA != "" || v.cfg.API.Guarded(); {
	case guarded && d.cert == "":
		v.Warnf(d.section+".addr", "is not encrypted: without tlsCert, tokens and secrets can be read on the way")
	case guarded:
	case d.anonymous:
		v.Warnf(d.section+".insecureAnonymous", "lets anybody who reaches %s read secrets and change everything", addr)
	default:
		narrowed := net.JoinHostPort(loopback, port)
		v.WithConsequence("it listens on "+narrowed+" only", func() {
			v.Warnf(d.section+".addr", "anybody who reaches %s could read secrets and change everything: set %s.tlsClientCA or api.access%s",
				addr, d.section, d.otherwise)
		})
		v.narrow(d.addr, narrowed)
	}
}

// onTelemetry checks that strangers don't reach the management API where metrics are.
func (v *validator) onTelemetry() {
	const key = "api.telemetry"
	if !v.cfg.API.Telemetry {
		return
	}
	host, _, err := net.SplitHostPort(v.cfg.Telemetry.HTTP)
	switch {
	case v.cfg.Telemetry.HTTP == "":
		v.Errorf(key, "needs telemetry.http, the address to serve it at")
	case err != nil || IsLoopback(host):
	case v.cfg.API.Guarded():
		v.Warnf(key, "is not encrypted at telemetry.http: tokens and secrets can be read on the way")
	default:
		v.WithConsequence("the management API is not served there", func() {
			v.Warnf(key, "anybody who reaches %s could read secrets and change everything: set api.access or api.adminTokens", v.cfg.Telemetry.HTTP)
		})
		v.later = append(v.later, func() { v.cfg.API.Telemetry = false })
	}
}

// narrow sets another address at the end, as checks of others may look at the written one.
func (v *validator) narrow(addr *string, narrowed string) {
	v.later = append(v.later, func() { *addr = narrowed })
}

// loopback is where a listener without access control is reached.
const loopback = "127.0.0.1"

// Guarded reports whether callers have to show who they are.
func (a *API) Guarded() bool { return len(a.Access) > 0 || a.AdminTokens }

// Bearers reports whether callers may show a token instead of a certificate.
func (a *API) Bearers() bool {
	return a.AdminTokens || slices.ContainsFunc(a.Access, func(e Access) bool { return e.Certificate == nil })
}

func (v *validator) api() {
	a := v.cfg.API
	v.door(door{
		section: "api", addr: &v.cfg.API.Addr, usual: "127.0.0.1:5559", cert: a.TLSCert, key: a.TLSKey, clientCA: a.TLSClientCA,
		lowest: a.TLSMinVersion, highest: a.TLSMaxVersion,
	})
	v.onTelemetry()
	for i := range v.cfg.API.Access {
		v.access(Item("api.access", i), &v.cfg.API.Access[i])
	}
}

func (v *validator) access(key string, a *Access) {
	v.Required(key+".name", a.Name, "what the log calls the caller")
	if len(a.Roles) == 0 {
		v.Errorf(key+".roles", "is required: one or more of %s", Quoted(AccessRoles))
	}
	v.EachOf(key+".roles", a.Roles, AccessRoles)
	kinds := 0
	if c := a.Certificate; c != nil {
		kinds++
		v.accessCertificate(key+".certificate", c)
	}
	if t := a.Token; t != nil {
		kinds++
		v.Required(key+".token.client", t.Client, "the client whose ID tokens are accepted")
		if len(t.Groups) == 0 {
			v.Errorf(key+".token.groups", "is required: the groups whose members may call; otherwise every user of the client could")
		}
	}
	if s := a.ServiceAccount; s != nil {
		kinds++
		v.Required(key+".serviceAccount.namespace", s.Namespace, "that of the service account")
		v.Required(key+".serviceAccount.name", s.Name, "that of the service account")
	}
	if kinds != 1 {
		v.Errorf(key, "must have exactly one of certificate, token and serviceAccount")
	}
}

func (v *validator) accessCertificate(key string, c *AccessCertificate) {
	if *c == (AccessCertificate{}) {
		v.Errorf(key, "must have at least one of commonName, dnsName, uri and sha256")
	}
	if v.cfg.GRPC.TLSClientCA == "" && v.cfg.API.TLSClientCA == "" && v.cfg.GRPC.Addr+v.cfg.API.Addr != "" {
		v.Errorf(key, "needs grpc.tlsClientCA or api.tlsClientCA, the authority of the callers' certificates")
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(c.SHA256, ":", ""))
	if c.SHA256 != "" && (err != nil || len(sum) != 32) {
		v.Errorf(key+".sha256", "must be the SHA-256 of a certificate in DER: 64 hexadecimal digits")
	}
}
