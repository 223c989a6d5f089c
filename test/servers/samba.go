package servers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
)

// The domain. Samba insists on LDAP's ports, so it has its own address.
const (
	SambaAddress  = "127.0.0.42"
	SambaBase     = "dc=example,dc=com"
	SambaAdmin    = "cn=Administrator,cn=users,dc=example,dc=com"
	SambaPassword = "admin0!Admin"
)

// Samba is a domain controller of an Active Directory domain, which serves LDAP and LDAPS on the usual ports of SambaAddress.
// Only one can run at a time, and it must be started as root.
type Samba struct {
	CAFile string // of the authority that issued its certificate for SambaAddress

	account  *account
	settings string
	process  *process
}

// StartSamba creates the domain example.com and starts its controller.
func StartSamba(ctx context.Context) (*Samba, error) {
	folder, err := os.MkdirTemp("", "dex-samba-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for samba: %w", err)
	}
	s := &Samba{account: &account{folder: folder}} // as root: it switches to other users by itself
	if err := s.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("samba: %w", err), s.Close())
	}
	return s, nil
}

func (s *Samba) init(ctx context.Context) error {
	folder := s.account.folder
	err := s.account.run(ctx, "/usr/bin/samba-tool", "domain", "provision", "--realm=EXAMPLE.COM", "--domain=EXAMPLE",
		"--server-role=dc", "--dns-backend=NONE", "--adminpass="+SambaPassword, "--targetdir="+folder, "--host-name=dc",
		"--host-ip="+SambaAddress, "--option=vfs objects = dfs_samba4 acl_xattr xattr_tdb",
		"--option=xattr_tdb:file="+folder+"/xattr.tdb")
	if err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	s.process, err = s.account.start(ctx, command{
		program: "/usr/sbin/samba", args: []string{"-i", "-M", "single", "-s", s.settings}, ready: s.answers,
	})
	return err
}

var serverServices = regexp.MustCompile(`(?m)^\s*server services = .*$`)

// configure makes the server only a directory, with all of its files in the folder.
func (s *Samba) configure() error {
	s.settings = s.account.path("etc/smb.conf")
	text, err := os.ReadFile(s.settings)
	if err != nil {
		return err
	}
	folder := s.account.folder
	for _, name := range []string{"run", "ncalrpc", "cache"} {
		if err := os.MkdirAll(s.account.path(name), 0o700); err != nil {
			return err
		}
	}
	secure, err := s.certify()
	if err != nil {
		return err
	}
	own := append(secure,
		"interfaces = "+SambaAddress+"/8", "bind interfaces only = yes", "ncalrpc dir = "+folder+"/ncalrpc",
		"pid directory = "+folder+"/run", "log file = "+folder+"/log.%m", "ldap server require strong auth = no",
		"disable netbios = yes")
	changed := serverServices.ReplaceAllString(string(text), "server services = ldap")
	changed = strings.Replace(changed, "log file = /var/log/samba/log.%m\n", "\n", 1)
	changed = strings.Replace(changed, "[global]", "[global]\n\t"+strings.Join(own, "\n\t"), 1)
	return os.WriteFile(s.settings, []byte(changed), 0o600) //nolint:gosec // G703: in the folder that was made for it
}

// certify writes certificates and returns the settings for them.
func (s *Samba) certify() (settings []string, err error) {
	authority, err := NewAuthority()
	if err != nil {
		return nil, err
	}
	if s.CAFile, err = s.account.write("ca.pem", authority.PEM); err != nil {
		return nil, err
	}
	certificate, key, err := authority.Issue("dc.example.com", SambaAddress)
	if err != nil {
		return nil, err
	}
	certFile, err := s.account.write("server.pem", certificate)
	if err != nil {
		return nil, err
	}
	keyFile, err := s.account.write("server.key", key)
	return []string{
		"tls enabled = yes", "tls cafile = " + s.CAFile, "tls certfile = " + certFile, "tls keyfile = " + keyFile,
	}, err
}

func (s *Samba) answers(ctx context.Context) error {
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // G402: a test server of our own
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(SambaAddress, "636"))
	if err != nil {
		return err
	}
	return c.Close()
}

// Tool runs samba-tool on the domain, such as user create NAME PASSWORD.
func (s *Samba) Tool(ctx context.Context, args ...string) error {
	program, err := exec.LookPath("samba-tool")
	if err != nil {
		return err
	}
	return s.account.run(ctx, program, append(args, "-s", s.settings)...)
}

// Close stops the server, if it is running, and removes its files.
func (s *Samba) Close() error {
	if s.process != nil {
		_ = syscall.Kill(-s.process.cmd.Process.Pid, syscall.SIGTERM)
		s.process.kill()
	}
	return s.account.remove()
}
