package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Audit is the settings of the record of what happens to people and applications.
type Audit struct {
	PersonalData string `key:"personalData"` // AuditFull, AuditHashed or AuditNone; AuditFull when absent
	// Key makes the chain one that only its holders can make, and what stands for personal data.
	Key    string `key:"key" secret:"file"`
	KeyEnv string `key:"keyEnv"` // the environment variable that has Key; replaced by Key
	// Required refuses logins and tokens while an output can't take records.
	Required bool          `key:"required"`
	Outputs  []AuditOutput `key:"outputs"`
}

// AuditOutput is a place that records go to.
type AuditOutput struct {
	Type     string            `key:"type"`     // one of auditOutputs
	Path     string            `key:"path"`     // file
	MaxSize  ByteSize          `key:"maxSize"`  // file; 100MiB when absent
	MaxFiles int               `key:"maxFiles"` // file; 10 when absent
	Address  string            `key:"address"`  // syslog; unix:///dev/log when absent
	Facility string            `key:"facility"` // syslog; authpriv when absent
	AppName  string            `key:"appName"`  // syslog; dex when absent
	Endpoint string            `key:"endpoint"` // otlp
	Headers  map[string]string `key:"headers"`  // otlp
	RootCA   string            `key:"rootCA"`   // syslog with tls, otlp; the path of a PEM file
}

// Values of Audit.PersonalData.
const (
	AuditFull   = "full"
	AuditHashed = "hashed"
	AuditNone   = "none"
)

// Types of AuditOutput.
const (
	AuditStdout = "stdout"
	AuditFile   = "file"
	AuditSyslog = "syslog"
	AuditOTLP   = "otlp"
)

const (
	minAuditKey          = 32 // bytes
	minAuditFile         = 64 << 10
	defaultAuditMaxSize  = 100 << 20
	defaultAuditMaxFiles = 10
	mostAuditFiles       = 1000
)

// SyslogFacilities are the facilities of RFC 5424 (6.2.1), in the order of their numbers.
var SyslogFacilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// A ByteSize is a number of bytes, written as in 100MiB.
type ByteSize int64

var byteUnits = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// UnmarshalText reads a size.
func (b *ByteSize) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "BKMGi")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, ok := byteUnits[string(text[len(digits):])]
	if err != nil || !ok || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("must be a size such as 100MiB; the units are %s", Quoted(slices.Sorted(maps.Keys(byteUnits))[1:]))
	}
	*b = ByteSize(n * unit)
	return nil
}

func (v *validator) audit() {
	a := v.cfg.Audit
	if a == nil {
		return
	}
	v.OptionalOf("audit.personalData", a.PersonalData, auditPersonalData)
	v.auditKey(a)
	if len(a.Outputs) == 0 {
		v.Errorf("audit.outputs", "is required: where records go to")
	}
	paths := map[string]int{}
	for i := range a.Outputs {
		key, o := Item("audit.outputs", i), &a.Outputs[i]
		if v.Required(key+".type", o.Type, "one of "+Quoted(auditOutputs)) {
			v.OneOf(key+".type", o.Type, auditOutputs)
		}
		v.auditOutput(key, o)
		if first, twice := paths[o.Path]; twice && o.Path != "" {
			v.Errorf(key+".path", "%s is that of audit.outputs[%d] already", o.Path, first)
		}
		paths[o.Path] = i
	}
}

func (v *validator) auditKey(a *Audit) {
	at := "audit.key"
	if a.KeyEnv != "" {
		at = "audit.keyEnv"
		if a.Key != "" {
			v.Errorf(at, "give key, keyFile or keyEnv, not several")
			return
		}
		value, ok := v.FromVariable(at, a.KeyEnv)
		if !ok {
			return
		}
		a.Key = value
	}
	switch {
	case a.Key != "" && len(a.Key) < minAuditKey:
		v.Errorf(at, "must have at least %d bytes, such as from openssl rand -base64 32", minAuditKey)
	case a.Key == "" && a.PersonalData == AuditHashed && !v.section.SkipsFiles() && !v.IsBroken("audit.key"):
		v.Errorf("audit.personalData", "%q needs a key: key, keyFile or keyEnv", AuditHashed)
	}
}

// auditFields are the keys that outputs of a type have.
var auditFields = map[string][]string{
	AuditStdout: {}, AuditFile: {"path", "maxSize", "maxFiles"}, AuditSyslog: {"address", "facility", "appName", "rootCA"},
	AuditOTLP: {"endpoint", "headers", "rootCA"},
}

func (v *validator) auditOutput(key string, o *AuditOutput) {
	if own, known := auditFields[o.Type]; known {
		for _, field := range []string{"path", "maxSize", "maxFiles", "address", "facility", "appName", "endpoint", "headers", "rootCA"} {
			if v.section.Has(key+"."+field) && !slices.Contains(own, field) {
				v.Errorf(key+"."+field, "is not a setting of an output of the type %s", o.Type)
			}
		}
	}
	switch o.Type {
	case AuditFile:
		v.auditFile(key, o)
	case AuditSyslog:
		v.OptionalOf(key+".facility", o.Facility, SyslogFacilities)
		v.syslogAddress(key, o)
		if strings.ContainsFunc(o.AppName, func(r rune) bool { return r <= ' ' || r > '~' }) || len(o.AppName) > 48 {
			v.Errorf(key+".appName", "must be up to 48 ASCII characters without spaces")
		}
	case AuditOTLP:
		v.auditEndpoint(key, o)
	}
}

func (v *validator) auditFile(key string, o *AuditOutput) {
	v.Required(key+".path", o.Path, "the file that records are written to")
	if o.MaxSize < minAuditFile && v.section.Has(key+".maxSize") {
		v.Errorf(key+".maxSize", "must be at least 64KiB")
	}
	if o.MaxFiles < 1 && v.section.Has(key+".maxFiles") || o.MaxFiles > mostAuditFiles {
		v.Errorf(key+".maxFiles", "must be from 1 to %d, not %d", mostAuditFiles, o.MaxFiles)
	}
}

func (v *validator) auditEndpoint(key string, o *AuditOutput) {
	if !v.Required(key+".endpoint", o.Endpoint, "the URL that logs are posted to, such as http://collector:4318/v1/logs") {
		return
	}
	v.collector(key+".endpoint", o.Endpoint, "/v1/logs", "records")
}

// collector checks the URL that OTLP is posted to.
func (v *validator) collector(key, endpoint, usual, what string) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || !isHTTP(u) || u.Hostname() == "" || u.User != nil:
		v.Errorf(key, "must be a URL with the scheme https or http and a host, such as http://collector:4318%s", usual)
	case u.Path == "" || u.Path == "/":
		v.Errorf(key, "must have a path, which collectors expect to be %s", usual)
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		v.Warnf(key, "is not encrypted: without https, %s can be read and changed on the way", what)
	}
}

func (v *validator) syslogAddress(key string, o *AuditOutput) {
	at := key + ".address"
	if o.Address == "" {
		return
	}
	u, err := url.Parse(o.Address)
	if err != nil {
		v.Errorf(at, "must be an address such as unix:///dev/log or tls://syslog.example.net:6514")
		return
	}
	_, port, splitErr := net.SplitHostPort(u.Host)
	switch u.Scheme {
	case "unix":
		if u.Host != "" || u.Path == "" {
			v.Errorf(at, "must have a path, as in unix:///dev/log")
		}
	case "udp", "tcp", "tls":
		if splitErr != nil || u.Hostname() == "" || !isPort(port) || strings.Trim(u.Path, "/") != "" {
			v.Errorf(at, "must have a host and a port, as in %s://syslog.example.net:%s", u.Scheme, map[string]string{"udp": "514", "tcp": "601", "tls": "6514"}[u.Scheme])
		} else if u.Scheme != "tls" && !IsLoopback(u.Hostname()) {
			v.Warnf(at, "is not encrypted: without tls, records can be read and changed on the way")
		}
	default:
		v.Errorf(at, "the scheme must be one of %s", Quoted([]string{"unix", "udp", "tcp", "tls"}))
	}
	if o.RootCA != "" && u.Scheme != "tls" {
		v.Errorf(key+".rootCA", "is of use with tls only")
	}
}

func (a *Audit) setDefaults() {
	a.PersonalData = cmp.Or(a.PersonalData, AuditFull)
	for i := range a.Outputs {
		o := &a.Outputs[i]
		switch o.Type {
		case AuditFile:
			o.MaxSize, o.MaxFiles = cmp.Or(o.MaxSize, defaultAuditMaxSize), cmp.Or(o.MaxFiles, defaultAuditMaxFiles)
		case AuditSyslog:
			o.Address, o.Facility, o.AppName = cmp.Or(o.Address, "unix:///dev/log"), cmp.Or(o.Facility, "authpriv"), cmp.Or(o.AppName, "dex")
		}
	}
}
