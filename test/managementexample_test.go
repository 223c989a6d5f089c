package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The example does what its guide says, as it is printed.
func TestManagementExample(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "examples"), os.DirFS(filepath.Join(repository, "examples"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binaries.dex, filepath.Join(root, "bin/dex")); err != nil {
		t.Fatal(err)
	}
	web, grpcAddress := freeAddress(t), freeAddress(t)
	edit(t, filepath.Join(root, "examples/grpc-client/config.yaml"), "  http: 127.0.0.1:5556", "  http: "+web, "127.0.0.1:5557", grpcAddress)
	guide, err := os.ReadFile(filepath.Join(root, "examples/grpc-client/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for block := range strings.SplitSeq(string(guide), "```sh\n") {
		if command, _, ok := strings.Cut(block, "\n```"); ok && !strings.HasPrefix(block, "#") {
			commands = append(commands, command)
		}
	}
	if len(commands) != 3 {
		t.Fatalf("the guide has the commands %q", commands)
	}
	shell := func(command string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir, cmd.Env = root, os.Environ()
		return cmd
	}
	if out, err := shell(commands[0]).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := startCommand(t, "dex", shell("exec "+commands[1]))
	eventually(t, patience, "the server listens", func() bool {
		return strings.Contains(server.log.String(), "server=grpc address="+grpcAddress)
	})
	out, err := shell(commands[2] + " -addr " + grpcAddress).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "deleted the client example-client\n") {
		t.Errorf("%v\n%s", err, out)
	}
	again, err := shell(commands[0]).CombinedOutput()
	if err == nil || !strings.Contains(string(again), "exists; name another -dir") {
		t.Errorf("certificates are replaced: %v\n%s", err, again)
	}
	without, err := shell("go -C examples run ./grpc-client").CombinedOutput()
	if err == nil || !strings.Contains(string(without), "give -ca-crt, -client-crt and -client-key") {
		t.Errorf("without flags: %v\n%s", err, without)
	}
}
