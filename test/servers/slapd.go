package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// What every slapd has.
const (
	SlapdBase     = "dc=example,dc=org"
	SlapdAdmin    = "cn=admin,dc=example,dc=org" // may read and write everything
	SlapdPassword = "admin"
)

// SlapdOptions are what differs between servers.
type SlapdOptions struct {
	LDIF string // entries besides the base, ou=People and ou=Groups
	// ClientCertificates makes the server require a client certificate from its authority over TLS.
	ClientCertificates bool
	// PasswordPolicy turns on the overlay ppolicy, with cn=default,ou=Policies as everybody's policy.
	PasswordPolicy bool
	Limits         []string // what slapd.conf has after "limits", for accounts that search
}

// Slapd is OpenLDAP's LDAP server, which listens on 127.0.0.1.
type Slapd struct {
	Address    string // host:port of LDAP, with or without StartTLS
	TLSAddress string // host:port of LDAPS
	Authority  *Authority
	CAFile     string
	// CertFile and KeyFile are a client's.
	CertFile, KeyFile string

	options SlapdOptions
	account *account
	command command
	process *process // nil while it is stopped
}

// StartSlapd starts a server with the entries in the options.
func StartSlapd(ctx context.Context, o SlapdOptions) (*Slapd, error) {
	a, err := newAccount("openldap")
	if err != nil {
		return nil, err
	}
	s := &Slapd{account: a, options: o}
	if err := s.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("slapd: %w", err), s.Close())
	}
	return s, nil
}

func (s *Slapd) init(ctx context.Context) error {
	for _, address := range []*string{&s.Address, &s.TLSAddress} {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		*address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	settings, err := s.configure()
	if err != nil {
		return err
	}
	data := s.account.path("data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := s.account.own(data); err != nil {
		return err
	}
	entries, err := s.account.write("entries.ldif", []byte(baseLDIF(s.options.PasswordPolicy)+s.options.LDIF))
	if err != nil {
		return err
	}
	if err := s.account.run(ctx, "/usr/sbin/slapadd", "-q", "-f", settings, "-l", entries); err != nil {
		return err
	}
	s.command = command{
		program: "/usr/sbin/slapd",
		args:    []string{"-d", "0", "-f", settings, "-h", "ldap://" + s.Address + "/ ldaps://" + s.TLSAddress + "/"},
		ready:   s.answers,
	}
	return s.Start(ctx)
}

// configure writes the settings and all files that they name, and returns their path.
func (s *Slapd) configure() (string, error) {
	var err error
	if s.Authority, err = NewAuthority(); err != nil {
		return "", err
	}
	if s.CAFile, err = s.account.write("ca.pem", s.Authority.PEM); err != nil {
		return "", err
	}
	certFile, keyFile, err := s.issue("server", "127.0.0.1", "localhost")
	if err != nil {
		return "", err
	}
	if s.CertFile, s.KeyFile, err = s.issue("client"); err != nil {
		return "", err
	}
	lines := []string{
		"include /etc/ldap/schema/core.schema", "include /etc/ldap/schema/cosine.schema",
		"include /etc/ldap/schema/inetorgperson.schema", "include /etc/ldap/schema/nis.schema",
		"modulepath /usr/lib/ldap", "moduleload back_mdb", "moduleload ppolicy",
		"pidfile " + s.account.path("pid"), "sizelimit 500", "threads 8",
		"TLSCACertificateFile " + s.CAFile, "TLSCertificateFile " + certFile, "TLSCertificateKeyFile " + keyFile,
	}
	if s.options.ClientCertificates {
		lines = append(lines, "TLSVerifyClient demand")
	}
	lines = append(lines,
		"database mdb", "suffix "+SlapdBase, "rootdn "+SlapdAdmin, "rootpw "+SlapdPassword,
		"directory "+s.account.path("data"), "maxsize 536870912", "dbnosync", // nothing here outlives the machine
		"index objectClass,uid,cn,mail,member eq",
		"access to attrs=userPassword by anonymous auth by * none", "access to * by * read")
	for _, limit := range s.options.Limits {
		lines = append(lines, "limits "+limit)
	}
	if s.options.PasswordPolicy {
		lines = append(lines, "overlay ppolicy", "ppolicy_default cn=default,ou=Policies,"+SlapdBase, "ppolicy_use_lockout")
	}
	return s.account.write("slapd.conf", []byte(strings.Join(lines, "\n")+"\n"))
}

func (s *Slapd) issue(name string, hosts ...string) (certFile, keyFile string, err error) {
	certificate, key, err := s.Authority.Issue(name, hosts...)
	if err != nil {
		return "", "", err
	}
	if certFile, err = s.account.write(name+".pem", certificate); err != nil {
		return "", "", err
	}
	keyFile, err = s.account.write(name+".key", key)
	return certFile, keyFile, err
}

func baseLDIF(policies bool) string {
	ldif := `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=People,dc=example,dc=org
objectClass: organizationalUnit
ou: People

dn: ou=Groups,dc=example,dc=org
objectClass: organizationalUnit
ou: Groups

`
	if !policies {
		return ldif
	}
	return ldif + `dn: ou=Policies,dc=example,dc=org
objectClass: organizationalUnit
ou: Policies

dn: cn=default,ou=Policies,dc=example,dc=org
objectClass: organizationalRole
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 5
pwdMustChange: TRUE

`
}

// answers asks the server for its root entry.
func (s *Slapd) answers(ctx context.Context) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return err
	}
	return c.Close()
}

// Start starts the server again with its data.
func (s *Slapd) Start(ctx context.Context) error {
	var err error
	s.process, err = s.account.start(ctx, s.command)
	return err
}

// Stop shuts the server down.
func (s *Slapd) Stop() error {
	p := s.process
	s.process = nil
	return p.stop()
}

// Kill ends the server as a crash would.
func (s *Slapd) Kill() {
	s.process.kill()
	s.process = nil
}

// Change applies changes in LDIF as the administrator.
func (s *Slapd) Change(ctx context.Context, ldif string) error {
	file, err := s.account.write("change.ldif", []byte(ldif))
	if err != nil {
		return err
	}
	program, err := exec.LookPath("ldapmodify")
	if err != nil {
		return err
	}
	return s.account.run(ctx, program, "-x", "-H", "ldap://"+s.Address, "-D", SlapdAdmin, "-w", SlapdPassword, "-f", file)
}

// Connections returns the remote addresses of the open connections to the server. The kernel's table may change while it is
// read, so it returns those that two consecutive reads have in common: they were open at the same time.
func (s *Slapd) Connections() (map[string]bool, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return nil, err
	}
	ports := map[string]bool{}
	for _, address := range []string{s.Address, s.TLSAddress} {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return nil, err
		}
		ports[fmt.Sprintf("0100007F:%04X", number)] = true
	}
	const established = "01"
	open := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && ports[fields[1]] && fields[3] == established {
			open[fields[2]] = true
		}
	}
	return open, nil
}

// Close stops the server, if it is running, and removes its files.
func (s *Slapd) Close() error {
	var err error
	if s.process != nil {
		err = s.Stop()
	}
	return errors.Join(err, s.account.remove())
}
