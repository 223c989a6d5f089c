package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

func (v *validator) issuer() {
	const key = "issuer"
	issuer := v.cfg.Issuer
	if !v.Required(key, issuer, "the public URL of this server, such as https://id.example.net") {
		return
	}
	// The value is not quoted, because it may hold a password.
	u, err := url.Parse(issuer)
	switch {
	case err != nil || !isHTTP(u) || u.Hostname() == "":
		v.Errorf(key, "must be a URL with the scheme https or http and a host, such as https://id.example.net")
	case strings.Contains(u.Host, "$"):
		v.Errorf(key, "must be written out: variables are expanded only in the config of storage, connectors and signer")
	case strings.ContainsAny(issuer, "?#"):
		v.Errorf(key, "must not have a query or a fragment")
	case u.User != nil:
		v.Errorf(key, "must not have a user name or a password, since everybody can read it")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		v.Warnf(key, "is not encrypted: without https, passwords and tokens can be read on the way")
	}
}

func isHTTP(u *url.URL) bool { return u.Scheme == "http" || u.Scheme == "https" }

// IsLoopback reports whether a host is this machine itself.
func IsLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (v *validator) storage() {
	types := Quoted(StorageTypes)
	switch {
	case !v.section.Has("storage"):
		v.Errorf("storage", "is required: a mapping with a type, which is one of %s", types)
	case v.Required("storage.type", v.cfg.Storage.Type, "one of "+types):
		v.OneOf("storage.type", v.cfg.Storage.Type, StorageTypes)
	}
}

func (v *validator) web() {
	w := v.cfg.Web
	if w.HTTP == "" && w.HTTPS == "" && !v.IsBroken("web.http") && !v.IsBroken("web.https") {
		v.Errorf("web", "needs an address to listen on: http, https or both, as in 0.0.0.0:5556")
	}
	v.listener("web.http", w.HTTP)
	v.listener("web.https", w.HTTPS)
	if w.HTTPS != "" {
		v.Required("web.tlsCert", w.TLSCert, "the certificate file for https")
		v.Required("web.tlsKey", w.TLSKey, "the key file for https")
	} else if !v.IsBroken("web.https") {
		v.unusedWithoutHTTPS("web.tlsCert", w.TLSCert)
		v.unusedWithoutHTTPS("web.tlsKey", w.TLSKey)
	}
	v.tlsVersions("web", w.TLSMinVersion, w.TLSMaxVersion)
	for i, proxy := range w.ClientRemoteIP.TrustedProxies {
		if _, err := netip.ParsePrefix(proxy); err != nil {
			v.Errorf(Item("web.clientRemoteIP.trustedProxies", i),
				"%q is not a network; it must be written with a prefix length, such as 10.0.0.0/8 or 10.0.0.1/32", proxy)
		}
	}
}

func (v *validator) unusedWithoutHTTPS(key, value string) {
	if value != "" {
		v.Warnf(key, "is not used, because web.https has no address to listen on")
	}
}

func (v *validator) telemetry() {
	v.listener("telemetry.http", v.cfg.Telemetry.HTTP)
	t := v.cfg.Telemetry.Traces
	if t.Endpoint != "" {
		v.collector("telemetry.traces.endpoint", t.Endpoint, "/v1/traces", "traces")
	}
	if t.SampleOneIn < 1 && v.section.Has("telemetry.traces.sampleOneIn") {
		v.Errorf("telemetry.traces.sampleOneIn", "must be at least 1; 10 records one request in ten")
	}
}

var (
	serviceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)
	listenHost  = regexp.MustCompile(`^[A-Za-z0-9._:%-]*$`)
)

// listener checks a listen address, and that no other listener has it.
func (v *validator) listener(key, address string) {
	if address == "" {
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || !listenHost.MatchString(host) || !isPort(port) {
		v.Errorf(key, "%q is not an address to listen on; it must be host:port, such as 127.0.0.1:5556 or :5556", address)
		return
	}
	other, taken := v.listeners[address]
	if taken && port != "0" {
		v.Errorf(key, "%s listens on %s already; each listener needs an address of its own", other, address)
		return
	}
	v.listeners[address] = key
}

func isPort(port string) bool {
	if _, err := strconv.ParseUint(port, 10, 16); err == nil {
		return true
	}
	return serviceName.MatchString(port)
}

func (v *validator) tlsVersions(section, lowest, highest string) {
	v.OptionalOf(section+".tlsMinVersion", lowest, tlsVersions)
	v.OptionalOf(section+".tlsMaxVersion", highest, tlsVersions)
	if lowest == "1.3" && highest == "1.2" {
		v.Errorf(section+".tlsMaxVersion", "must not be below tlsMinVersion, which is %s", lowest)
	}
}
