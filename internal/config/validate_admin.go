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
	v.adminListener("grpc.addr", g.Addr)
	v.tlsVersions("grpc", g.TLSMinVersion, g.TLSMaxVersion)
	v.OptionalOf("grpc.statusCodes", g.StatusCodes, []string{Upstream, StandardCodes})
	if g.TLSCert == "" && g.TLSKey == "" {
		if g.TLSClientCA != "" {
			v.Errorf("grpc.tlsClientCA", "needs tlsCert and tlsKey too: clients can show certificates only with TLS")
			return
		}
		v.reachable()
		return
	}
	if g.Addr == "" {
		v.Errorf("grpc.addr", "is required where tlsCert or tlsKey is given, as in 127.0.0.1:5557")
	}
	v.Required("grpc.tlsCert", g.TLSCert, "tlsCert and tlsKey go together")
	v.Required("grpc.tlsKey", g.TLSKey, "tlsCert and tlsKey go together")
	v.reachable()
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

// reachable warns of a gRPC listener that strangers may reach, and holds it to this machine if they could do everything there.
func (v *validator) reachable() {
	g := v.cfg.GRPC
	host, port, err := net.SplitHostPort(g.Addr)
	if err != nil || v.listeners[g.Addr] != "grpc.addr" || IsLoopback(host) {
		return // a socket, wrong, or out of strangers' reach
	}
	switch guarded := g.TLSClientCA != "" || v.cfg.API.Guarded(); {
	case guarded && g.TLSCert == "":
		v.Warnf("grpc.addr", "is not encrypted: without tlsCert, tokens and secrets can be read on the way")
	case guarded:
	case g.InsecureAnonymous:
		v.Warnf("grpc.insecureAnonymous", "lets anybody who reaches %s read secrets and change everything", g.Addr)
	default:
		v.WithConsequence("it listens on "+net.JoinHostPort(loopback, port)+" only", func() {
			v.Warnf("grpc.addr", "anybody who reaches %s could read secrets and change everything: set grpc.tlsClientCA or api.access, or "+
				"grpc.insecureAnonymous: true where something else keeps strangers out", g.Addr)
		})
		v.narrowed = net.JoinHostPort(loopback, port)
	}
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
	if v.cfg.GRPC.TLSClientCA == "" && v.cfg.GRPC.Addr != "" {
		v.Errorf(key, "needs grpc.tlsClientCA, the authority of the callers' certificates")
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(c.SHA256, ":", ""))
	if c.SHA256 != "" && (err != nil || len(sum) != 32) {
		v.Errorf(key+".sha256", "must be the SHA-256 of a certificate in DER: 64 hexadecimal digits")
	}
}
