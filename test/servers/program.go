package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// clusterPrograms are the programs of the module cluster, by name.
var clusterPrograms = map[string]string{
	"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
	"kubectl":        "k8s.io/kubernetes/cmd/kubectl",
	"helm":           "helm.sh/helm/v3/cmd/helm",
}

// builtAgain is how often a process that waits for another one's build looks whether that has ended.
const builtAgain = 200 * time.Millisecond

// Program returns the path of a program of the module cluster: kube-apiserver, kubectl or helm. It is built at its first use,
// which takes minutes, and kept in the user's cache folder until the module's versions, or Go's, change.
func Program(ctx context.Context, name string) (path string, err error) {
	pkg, ok := clusterPrograms[name]
	if !ok {
		return "", fmt.Errorf("there is no program %q in the module cluster", name)
	}
	module, err := besideServers("cluster")
	if err != nil {
		return "", err
	}
	folder, flags, err := clusterBuild(module)
	if err != nil {
		return "", fmt.Errorf("program %s: %w", name, err)
	}
	path = filepath.Join(folder, name)
	if built(path) {
		return path, nil
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", err
	}
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return "", fmt.Errorf("program %s: %w", name, err)
	}
	defer unlock()
	if built(path) { // by whoever held the lock
		return path, nil
	}
	// Without -trimpath, whatever GOFLAGS says, so that all builds share the compiler's cache.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath=false", "-ldflags="+flags, "-o", path+".new", pkg) //nolint:gosec // G204: ours
	build.Dir, build.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return path, os.Rename(path+".new", path)
}

// built reports whether a program is there: it gets its name when it is complete.
func built(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// kubernetesVersion matches the version that the module cluster requires.
var kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)`)

// clusterBuild returns the folder for programs built from the module's present versions, and the linker's flags.
func clusterBuild(module string) (folder, flags string, err error) {
	hash := sha256.New()
	var requirements []byte
	for _, name := range []string{"go.sum", "go.mod"} {
		if requirements, err = os.ReadFile(filepath.Join(module, name)); err != nil { //nolint:gosec // G304: ours
			return "", "", err
		}
		_, _ = hash.Write(requirements) // never fails
	}
	version := kubernetesVersion.FindSubmatch(requirements)
	if version == nil {
		return "", "", errors.New("the go.mod of the module cluster does not name the version of k8s.io/kubernetes")
	}
	// The projects' own builds set these. Without them Kubernetes is version 0, and Helm renders for 1.20, which charts refuse.
	const kubernetes, helm = " -X k8s.io/component-base/version.git", " -X helm.sh/helm/v3/pkg/chartutil.k8sVersion"
	flags = fmt.Sprintf("-s -w%[1]sVersion=%[3]s%[1]sMajor=%[4]s%[1]sMinor=%[5]s%[2]sMajor=%[4]s%[2]sMinor=%[5]s",
		kubernetes, helm, version[1], version[2], version[3])
	_, _ = hash.Write([]byte(flags + runtime.Version() + runtime.GOARCH))
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	return filepath.Join(cache, "dex-test-programs", hex.EncodeToString(hash.Sum(nil))[:16]), flags, nil
}

// lockFile waits until no other process, and no other caller in this one, holds the lock.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: ours
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(builtAgain)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(&fs.PathError{Op: "lock", Path: path, Err: err}, f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another build: %w", ctx.Err()), f.Close())
		}
	}
}

// testsFolder returns the folder of this module.
var testsFolder = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "dex/test").Output()
	if err != nil {
		return "", fmt.Errorf("find the folder of the tests: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// besideServers returns the path of a file or folder, seen from that of this package.
func besideServers(name string) (string, error) {
	folder, err := testsFolder()
	return filepath.Join(folder, "servers", name), err
}
