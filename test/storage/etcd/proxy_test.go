package etcd_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dex/internal/store"
	"dex/internal/store/etcd"
)

// A proxy forwards requests to a server, and aborts transactions after the server has done them.
type proxy struct {
	pb.UnimplementedKVServer
	server   pb.KVClient
	failure  codes.Code
	failures atomic.Int32 // how many transactions it will still abort
	reads    atomic.Int32 // of a range of keys
}

func (p *proxy) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	p.reads.Add(1)
	return p.server.Range(ctx, r)
}

func (p *proxy) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	answer, err := p.server.Txn(ctx, r)
	if p.failures.Add(-1) >= 0 {
		return nil, status.Error(p.failure, "given up")
	}
	return answer, err
}

// behindProxy makes the settings go through a proxy.
func behindProxy(t *testing.T, config *etcd.Config, failure codes.Code) *proxy {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: config.Endpoints})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: pb.NewKVClient(client.ActiveConnection()), failure: failure}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, p)
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := errors.Join(<-served, client.Close()); err != nil {
			t.Error(err)
		}
	})
	config.Endpoints = []string{"http://" + l.Addr().String()}
	return p
}

// The client library repeats requests that a server, or a proxy in front of it, aborted with one of these codes, and would
// find its own write.
func TestWriteIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, failure := range []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Unknown} {
		t.Run(failure.String(), func(t *testing.T) {
			t.Parallel()
			config := fresh(t, plain)
			p := behindProxy(t, &config, failure)
			s := open(t, config)
			p.failures.Store(1)
			_, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "a"})
			wantNoAnswer(t, "Create", err)
			r, err := s.Get(t.Context(), "client", "a")
			if err != nil {
				t.Fatal(err)
			}
			p.failures.Store(1)
			_, err = s.Replace(t.Context(), r)
			wantNoAnswer(t, "Replace", err)
			p.failures.Store(1)
			wantNoAnswer(t, "Delete", s.Delete(t.Context(), "client", "a", ""))
		})
	}
}
