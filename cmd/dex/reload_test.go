package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A configuration file that can't be read to its end, as on a disk that hangs, doesn't keep the server from stopping.
func TestReloadEndsWithTheServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // lets the reader end
		if f, err := syscall.Open(file, syscall.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			_ = syscall.Close(f)
		}
	})
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&reloader{file: file, log: slog.New(slog.DiscardHandler)}).reload(ctx)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it still waits for the file")
	}
}
