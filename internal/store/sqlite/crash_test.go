package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"dex/internal/store"
	"dex/internal/store/sqlite"
)

// crashFile, in the environment, makes the test binary write to that database until it is killed.
const crashFile = "DEX_TEST_CRASH_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(crashFile); file != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(context.Background(), file, os.Getenv(crashFile+"_ROUND")))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

const crashKind = "crash"

// A record of the crash test is created, then replaced, and every other is then deleted; its document is the stage it has
// reached. Each line that the writing process prints is a key and the stage it has surely reached.
const (
	created  = "created"
	replaced = "replaced"
	deleted  = "deleted"
)

// possible are the stages in which a record may be found if one was acknowledged: that one, or the next, which may have
// been committed too late to be acknowledged.
func possible(key, acknowledged string) []string {
	switch {
	case acknowledged == created:
		return []string{created, replaced}
	case acknowledged == replaced && strings.HasPrefix(key, "drop"):
		return []string{replaced, deleted}
	}
	return []string{acknowledged}
}

// writeUntilKilled returns only when something fails.
func writeUntilKilled(ctx context.Context, file, round string) error {
	const writers = 8
	failed := make(chan error, writers)
	s, err := sqlite.Open(ctx, sqlite.Config{File: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for w := range writers {
		go func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%s-%s-%d-%d", []string{"keep", "drop"}[n%2], round, w, n)
				if err := liveOneLife(ctx, s, key); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

func liveOneLife(ctx context.Context, s store.Store, key string) error {
	r := store.Record{Kind: crashKind, Key: key, Data: []byte(created)}
	var err error
	if r.Revision, err = s.Create(ctx, r); err != nil {
		return err
	}
	fmt.Println(key, created)
	r.Data = []byte(replaced)
	if r.Revision, err = s.Replace(ctx, r); err != nil {
		return err
	}
	fmt.Println(key, replaced)
	if strings.HasPrefix(key, "keep") {
		return nil
	}
	if err := s.Delete(ctx, crashKind, key, r.Revision); err != nil {
		return err
	}
	fmt.Println(key, deleted)
	return nil
}

// What was acknowledged is there after a crash of the process. (That it also survives a crash of the machine rests on
// SQLite's synchronous=FULL; this test can't tell.)
func TestKilledInTheMiddleOfWriting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	const rounds, lines = 5, 200
	acknowledged := make(map[string]string)
	for round := range rounds {
		for key, stage := range writeAndKill(t, file, round, lines+rand.N(lines)) {
			acknowledged[key] = stage
		}
		s := open(t, file)
		for key, stage := range acknowledged {
			if found := stageOf(t, s, key); !slices.Contains(possible(key, stage), found) {
				t.Errorf("round %d: %s is %s, but was acknowledged to be %s", round, key, found, stage)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if len(acknowledged) < rounds {
		t.Errorf("only %d keys were written", len(acknowledged))
	}
}

// writeAndKill runs a writing process until it has printed so many lines, and returns the last stage of each key.
func writeAndKill(t *testing.T, file string, round, lines int) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+file, fmt.Sprintf("%s_ROUND=%d", crashFile, round))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { _ = cmd.Process.Kill() })
	defer kill()
	stages, n := make(map[string]string), 0
	for out := bufio.NewScanner(stdout); out.Scan(); {
		var key, stage string
		if _, err := fmt.Sscan(out.Text(), &key, &stage); err != nil {
			t.Fatalf("line %q: %v", out.Text(), err)
		}
		stages[key] = stage
		if n++; n == lines {
			kill() // what it has printed meanwhile is still read
		}
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || n < lines {
		t.Fatalf("the writing process ended by itself after %d lines: %v", n, err)
	}
	return stages
}

func stageOf(t *testing.T, s store.Store, key string) string {
	t.Helper()
	r, err := s.Get(t.Context(), crashKind, key)
	if errors.Is(err, store.ErrNotFound) {
		return deleted
	}
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return string(r.Data)
}
