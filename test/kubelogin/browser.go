package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// An answer is what the browser brings back.
type answer struct {
	code string
	err  error
}

// browser signs the user in on the provider's pages, with the code flow.
func (f *flow) browser(ctx context.Context) (tokens, error) {
	const what = "authcode-browser error"
	l, err := f.bind(ctx)
	if err != nil {
		return tokens{}, fmt.Errorf("authentication error: %s: could not start a local server: %w", what, err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return tokens{}, err
	}
	f.config.RedirectURL = "http://localhost:" + port
	state, nonce, verifier := random(), random(), oauth2.GenerateVerifier()
	begin := []oauth2.AuthCodeOption{oauth2.AccessTypeOffline, oidc.Nonce(nonce)}
	var redeem []oauth2.AuthCodeOption
	if f.s256 {
		begin, redeem = append(begin, oauth2.S256ChallengeOption(verifier)), append(redeem, oauth2.VerifierOption(verifier))
	}
	for _, param := range f.params {
		name, value, _ := strings.Cut(param, "=")
		begin = append(begin, oauth2.SetAuthURLParam(name, value))
	}
	code, err := f.await(ctx, l, f.config.AuthCodeURL(state, begin...), state)
	if err != nil {
		return tokens{}, fmt.Errorf("authentication error: %s: authorization error: %w", what, err)
	}
	token, err := f.config.Exchange(ctx, code, redeem...)
	return f.verify(ctx, what, token, err, nonce)
}

// bind listens on the first of the addresses that is free.
func (f *flow) bind(ctx context.Context) (net.Listener, error) {
	var errs []error
	for _, address := range f.listen {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// await sends the browser to the provider, and waits for its answer.
func (f *flow) await(ctx context.Context, l net.Listener, authURL, state string) (code string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(f.timeout)*time.Second)
	defer cancel()
	answers := make(chan answer, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		got, ok := read(r, state)
		if !ok {
			http.Redirect(w, r, authURL, http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		if got.err != nil {
			http.Error(w, "authorization error", http.StatusInternalServerError)
		} else {
			_, _ = fmt.Fprint(w, "<html><title>Authenticated</title><body><h1>Authenticated</h1><p>You have logged in to the cluster. You can close this window.</p></body></html>")
		}
		select {
		case answers <- got:
		default:
		}
	})}
	go func() { _ = server.Serve(l) }()
	defer func() {
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		_ = server.Shutdown(end)
	}()
	go f.show(f.config.RedirectURL)
	select {
	case got := <-answers:
		return got.code, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// read returns the provider's answer, if there is one in the request.
func read(r *http.Request, state string) (answer, bool) {
	q := r.URL.Query()
	switch {
	case q.Get("error") != "":
		return answer{err: fmt.Errorf("authorization error from server: %s %s", q.Get("error"), q.Get("error_description"))}, true
	case q.Get("code") == "":
		return answer{}, false
	case q.Get("state") != state:
		return answer{err: errors.New("state does not match")}, true
	}
	return answer{code: q.Get("code")}, true
}
