package saml_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"dex/internal/connector"
)

// Users who come at the same time wait for one read of the metadata. A change while they come back disturbs nobody with a
// good response.
func TestManyAtOnce(t *testing.T) {
	p := people()
	var reads atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		signers := []holder{p.idp}
		if reads.Add(1) > 1 {
			signers = append(signers, p.next)
		}
		_, _ = io.WriteString(w, described(idpID, "", signers...))
	}))
	defer server.Close()
	s := open(t, attributesOnly+"metadataURL: "+server.URL+"\nca: "+"''"+"\n"+p.dex.spKeys(t))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := s.Begin(t.Context(), connector.LoginRequest{State: state}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if reads.Load() != 1 {
		t.Errorf("the metadata was read %d times", reads.Load())
	}
	for i := range 16 {
		by := []holder{p.idp, p.next}[i%2]
		a := jane()
		a.ID = "_" + strconv.Itoa(i)
		response := a.sign(t, by, "")
		all.Go(func() {
			if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(response)}); err != nil {
				t.Error(err)
			}
			if err := s.Probe(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if reads.Load() != 2 {
		t.Errorf("the metadata was read %d times", reads.Load())
	}
}
