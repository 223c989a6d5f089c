package servers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The realms of every KDC.
const (
	KDCRealm = "EXAMPLE.ORG" // of users and of the services at localhost
	// KDCTrustedRealm is another organization's: its users get tickets for services of KDCRealm too.
	KDCTrustedRealm = "PARTNER.ORG"
)

// KDC is MIT's Kerberos server for two realms, which listens on 127.0.0.1.
type KDC struct {
	settings string // path of krb5.conf, which includes the server's settings
	logins   atomic.Int64
	account  *account
	process  *process
}

// StartKDC creates the realms and starts their server.
func StartKDC(ctx context.Context) (*KDC, error) {
	folder, err := os.MkdirTemp("", "dex-kdc-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the KDC: %w", err)
	}
	k := &KDC{account: &account{folder: folder}} // as the user who runs this: their programs read keytabs and tickets
	if err := k.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("KDC: %w", err), k.Close())
	}
	return k, nil
}

func (k *KDC) init(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if k.settings, err = k.account.write("krb5.conf", []byte(k.configuration(address))); err != nil {
		return err
	}
	// Both realms share the key with which one signs and the other verifies.
	trust := "krbtgt/" + KDCRealm + "@" + KDCTrustedRealm
	for _, realm := range []string{KDCRealm, KDCTrustedRealm} {
		if err := k.run(ctx, "/usr/sbin/kdb5_util", "-r", realm, "-P", "master", "create", "-s"); err != nil {
			return err
		}
		if err := k.admin(ctx, realm, "add_principal", "-pw", "the trust of two realms", trust); err != nil {
			return err
		}
	}
	k.process, err = k.account.start(ctx, command{
		program: "/usr/sbin/krb5kdc",
		args:    []string{"-n", "-P", k.account.path("pid"), "-r", KDCRealm, "-r", KDCTrustedRealm},
		env:     k.environment(),
		ready: func(ctx context.Context) error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return c.Close()
		},
	})
	return err
}

// configuration returns the settings for the server and its clients.
func (k *KDC) configuration(address string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `[libdefaults]
	default_realm = %s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	udp_preference_limit = 1

[domain_realm]
	localhost = %s

[kdcdefaults]
	kdc_listen = ""
	kdc_tcp_listen = %s

[logging]
	kdc = STDERR

[realms]
`, KDCRealm, KDCRealm, address)
	for _, realm := range []string{KDCRealm, KDCTrustedRealm} {
		file := k.account.path(realm)
		fmt.Fprintf(&b, "\t%s = {\n\t\tkdc = %s\n\t\tdatabase_name = %s.db\n\t\tkey_stash_file = %s.stash\n\t\tacl_file = %s.acl\n\t}\n",
			realm, address, file, file, file)
	}
	return b.String()
}

// environment is for all programs that use the realms.
func (k *KDC) environment() []string {
	return []string{"KRB5_CONFIG=" + k.settings, "KRB5_KDC_PROFILE=" + k.settings, "KRB5RCACHENAME=none:"}
}

func (k *KDC) run(ctx context.Context, program string, args ...string) error {
	line := append(k.environment(), program)
	return k.account.run(ctx, "/usr/bin/env", append(line, args...)...)
}

func (k *KDC) admin(ctx context.Context, realm string, args ...string) error {
	return k.run(ctx, "/usr/sbin/kadmin.local", append([]string{"-r", realm}, args...)...)
}

// AddService creates a service in KDCRealm, such as HTTP/localhost.
func (k *KDC) AddService(ctx context.Context, service string) error {
	return k.admin(ctx, KDCRealm, "add_principal", "-randkey", service+"@"+KDCRealm)
}

// NewKeys gives a service in KDCRealm new keys, and adds them to a keytab. Encryption is what kadmin calls a key-salt list;
// empty for the defaults.
func (k *KDC) NewKeys(ctx context.Context, service, keytab, encryption string) error {
	args := []string{"ktadd", "-k", keytab}
	if encryption != "" {
		args = append(args, "-e", encryption)
	}
	return k.admin(ctx, KDCRealm, append(args, service+"@"+KDCRealm)...)
}

// AddUser creates a user, name@REALM.
func (k *KDC) AddUser(ctx context.Context, user string) error {
	realm := realmOf(user)
	if err := k.admin(ctx, realm, "add_principal", "-randkey", user); err != nil {
		return err
	}
	return k.admin(ctx, realm, "ktadd", "-k", k.account.path(user+".keytab"), user)
}

func realmOf(user string) string {
	_, realm, _ := strings.Cut(user, "@")
	return realm
}

// A KerberosLogin is a user's login on a workstation.
type KerberosLogin struct {
	Cache       string   // path of the file with the tickets
	Environment []string // of the user's programs: "NAME=value"
}

// Login logs in a user, name@REALM. Each login has its own tickets.
func (k *KDC) Login(ctx context.Context, user string) (KerberosLogin, error) {
	cache := k.account.path("tickets" + strconv.FormatInt(k.logins.Add(1), 10))
	login := KerberosLogin{Cache: cache, Environment: append(k.environment(), "KRB5CCNAME=FILE:"+cache)}
	return login, k.run(ctx, "/usr/bin/kinit", "-c", "FILE:"+cache, "-k", "-t", k.account.path(user+".keytab"), user)
}

// ShiftClock makes the workstation's clock wrong, for the user's programs only.
func (l KerberosLogin) ShiftClock(by time.Duration) error {
	cache, err := os.ReadFile(l.Cache)
	if err != nil {
		return err
	}
	// The format's version, 4; the length of its header; a field of the header, 1, of 8 bytes: how many seconds, and
	// microseconds, the KDC's clock is ahead of the workstation's. Clients go by the KDC's.
	const start = "\x05\x04\x00\x0c\x00\x01\x00\x08"
	if len(cache) < len(start)+8 || string(cache[:len(start)]) != start {
		return fmt.Errorf("%s: another format than expected", l.Cache)
	}
	binary.BigEndian.PutUint32(cache[len(start):], uint32(int32(by/time.Second))) //nolint:gosec // G115: some minutes
	return os.WriteFile(l.Cache, cache, 0o600)                                    //nolint:gosec // G703: the file that Login made
}

// Nobody is a workstation in the realm where nobody is logged in.
func (k *KDC) Nobody() KerberosLogin {
	cache := k.account.path("no-tickets")
	return KerberosLogin{Cache: cache, Environment: append(k.environment(), "KRB5CCNAME=FILE:"+cache)}
}

// Keytab returns the path of a keytab that does not exist yet.
func (k *KDC) Keytab(name string) string {
	return filepath.Join(k.account.folder, "service-"+name+".keytab")
}

// Close stops the server, if it is running, and removes its files.
func (k *KDC) Close() error {
	var err error
	if k.process != nil {
		err = k.process.stop()
	}
	return errors.Join(err, k.account.remove())
}
