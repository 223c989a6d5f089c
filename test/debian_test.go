package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildPackage builds the Debian package with the repository's recipe.
func buildPackage(t *testing.T, repository, version string) string {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.CommandContext(t.Context(), filepath.Join(repository, "deploy", "debian", "build.sh"), folder)
	cmd.Env = append(os.Environ(), "VERSION="+version)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(folder, "dex-idp_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages %v, error %v", found, err)
	}
	return found[0]
}

func hashOf(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// inScratchSystem runs a script in a copy of this machine's file system that it may change, with a network of its own and without a
// running systemd.
const inScratchSystem = `set -eu
scratch=$1 && shift
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
mount --rbind /proc "$scratch/root/proc"
mount --rbind /dev "$scratch/root/dev"
mount -t tmpfs tmpfs "$scratch/root/run"
mkdir "$scratch/root/packages"
cp "$@" "$scratch/root/packages"
ip link set lo up
exec /usr/sbin/chroot "$scratch/root" /bin/sh -eu -s`

// lifeOfAPackage is what an administrator does with the package, and what must be so in between. The service is started as its unit
// says, as far as that goes without systemd.
const lifeOfAPackage = `
fail() { echo "FAILED: $*"; exit 1; }
is() { [ "$2" = "$3" ] || fail "$1: $2, want $3"; }
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
rm -rf /etc/dex /var/lib/dex

dpkg -i /packages/dex-idp_1.0.0_*.deb
is 'version' "$(dex version | head -1)" 'Dex Version: v1.0.0'
is 'configuration' "$(stat -c '%U:%G %a' /etc/dex/config.yaml)" 'root:dex 640'
is 'shell of the user' "$(getent passwd dex | cut -d: -f7)" /usr/sbin/nologin
[ ! -e /etc/systemd/system/multi-user.target.wants/dex.service ] || fail 'it is enabled'

unit=/usr/lib/systemd/system/dex.service
systemd-analyze verify --man=no "$unit" || fail 'systemd finds mistakes in the unit'
systemd-analyze security --offline=yes --threshold=20 --no-pager "$unit" || fail 'the unit is exposed'

start() {
	install -d -o dex -g dex -m 700 /var/lib/dex # StateDirectory
	command=$(sed -n 's/^ExecStart=//p' "$unit")
	is 'command' "$command" '/usr/bin/dex serve /etc/dex/config.yaml'
	(umask 077 && exec setpriv --reuid=dex --regid=dex --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all $command) &
	pid=$!
	for i in $(seq 300); do
		dex healthcheck /etc/dex/config.yaml >/tmp/health 2>&1 && return
		kill -0 "$pid" || fail 'the service has ended'
		sleep 0.1
	done
	fail "the service is not well: $(cat /tmp/health)"
}
stop() { kill "$pid" && wait "$pid" || fail "the service stops with $?"; }
setpriv --reuid=dex --regid=dex --clear-groups dex check --no-files /etc/dex/config.yaml || fail 'the configuration has mistakes'
if setpriv --reuid=65534 --regid=65534 --clear-groups cat /etc/dex/config.yaml 2>/dev/null; then fail 'anybody can read the configuration'; fi
start
is 'database' "$(stat -c '%U %a' /var/lib/dex/dex.db)" 'dex 600'
kill -HUP "$pid" # ExecReload
stop

systemctl --quiet enable dex.service
echo '# edited' >>/etc/dex/config.yaml
chmod 600 /etc/dex/config.yaml
dpkg -i /packages/dex-idp_1.1.0_*.deb
is 'version after the upgrade' "$(dex version | head -1)" 'Dex Version: v1.1.0'
is 'configuration after the upgrade' "$(stat -c '%U:%G %a' /etc/dex/config.yaml)" 'root:dex 640'
grep -q '^# edited' /etc/dex/config.yaml || fail 'the edited configuration is lost'
[ -e /etc/systemd/system/multi-user.target.wants/dex.service ] || fail 'it is no longer enabled'
start
stop

dpkg -r dex-idp
[ ! -e /usr/bin/dex ] && [ ! -e "$unit" ] || fail 'the program is still there'
[ ! -e /etc/systemd/system/multi-user.target.wants/dex.service ] || fail 'it is still enabled'
[ -e /etc/dex/config.yaml ] && [ -e /var/lib/dex/dex.db ] || fail 'removing has removed data'

dpkg -P dex-idp
[ ! -e /etc/dex ] && [ ! -e /var/lib/dex ] || fail 'purging has left data'
echo 'ALL IS WELL'
`

// TestDebianPackage installs, upgrades, removes and purges the package.
func TestDebianPackage(t *testing.T) {
	t.Parallel()
	first, second := buildPackage(t, repository, "v1.0.0"), buildPackage(t, repository, "v1.1.0")
	t.Run("it is built the same each time", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "elsewhere")
		copyRepository(t, other)
		if hashOf(t, buildPackage(t, other, "v1.0.0")) != hashOf(t, first) {
			t.Error("the same version has other bytes in another folder")
		}
	})
	t.Run("S2-15: the life of a package", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Fatal("installing a package needs root")
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "sh", "-c", inScratchSystem, "sh", t.TempDir(), first, second)
		cmd.Stdin = strings.NewReader(lifeOfAPackage)
		cmd.Env = append(cleanEnvironment(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("ALL IS WELL")) {
			t.Errorf("%v\n%s", err, out)
		}
		if !bytes.Contains(out, []byte("systemctl enable --now dex")) {
			t.Errorf("it doesn't say how to go on:\n%s", out)
		}
	})
	t.Run("names of versions and architectures", func(t *testing.T) {
		name := filepath.Base(first)
		arch, err := exec.CommandContext(t.Context(), "dpkg", "--print-architecture").Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("dex-idp_1.0.0_%s.deb", bytes.TrimSpace(arch)); name != want {
			t.Errorf("it is called %s, want %s", name, want)
		}
	})
}
