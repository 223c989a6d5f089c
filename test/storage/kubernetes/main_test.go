// Package kubernetes_test tests the storage in Kubernetes with a real API server.
package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/store/kubernetes"
	"dex/internal/store/storetest"
	_ "dex/internal/takeover" // declares the kinds of clients, keys and refresh tokens
	"dex/test/servers"
)

// patience is how long a test waits for something that must happen soon.
const patience = 30 * time.Second

// server has all resource definitions once a test has opened a storage.
var server *servers.Kubernetes

func TestMain(m *testing.M) {
	status, err := startAndRun(m)
	if err == nil && status == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests of the storage in Kubernetes:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func startAndRun(m *testing.M) (status int, err error) {
	if server, err = servers.StartKubernetes(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return m.Run(), nil
}

var quiet = slog.New(slog.DiscardHandler)

// fresh returns an unused namespace.
func fresh(t testing.TB) servers.KubernetesNamespace {
	t.Helper()
	n, err := server.NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func config(n servers.KubernetesNamespace) kubernetes.Config {
	return kubernetes.Config{KubeConfigFile: n.KubeConfigFile}
}

// open opens a storage that is closed when the test ends.
func open(t testing.TB, c kubernetes.Config, log *slog.Logger, options ...kubeapi.Option) *kubernetes.Store {
	t.Helper()
	s, err := kubernetes.Open(t.Context(), c, log, options...)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// Each test has its own namespace: what earlier tests have left would slow it down.

func TestConformance(t *testing.T) {
	allowed := allowedRequests(t)
	t.Run("S1-28 S2-16 the suite of all storages", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			return open(t, config(fresh(t)), quiet, kubeapi.Transport(allowed))
		})
	})
}

func TestShared(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		n := fresh(t)
		return open(t, config(n), quiet), open(t, config(n), quiet)
	})
}
