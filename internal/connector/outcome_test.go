package connector_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"dex/internal/connector"
	"dex/internal/outbound"
)

func TestOutcomeOf(t *testing.T) {
	client, err := outbound.NewClient(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	get := func(address string) error {
		_, _, err := outbound.Get(t.Context(), client, address, nil)
		return err
	}
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	status := func(code int) error { return connector.FromStatus(code, errors.New("no")) }
	for name, c := range map[string]struct {
		err  error
		want connector.Outcome
	}{
		"nothing":                   {nil, connector.Succeeded},
		"denied":                    {fmt.Errorf("a: %w", &connector.Denied{Cause: connector.ErrGone}), connector.Refused},
		"given up":                  {&connector.Denied{ByUser: true}, connector.Cancelled},
		"gone":                      {fmt.Errorf("%w: later", connector.ErrGone), connector.Gone},
		"no address":                {&connector.Unusable{}, connector.AccountUnusable},
		"forged":                    {&connector.BadToken{}, connector.TokenRefused},
		"later":                     {&connector.Again{Cause: &connector.Temporary{Cause: errors.New("x")}}, connector.Unavailable},
		"once more, in other words": {&connector.Again{Cause: errors.New("x")}, connector.Broken},
		"nobody listens":            {get(gone.URL), connector.Unavailable},
		"too late":                  {context.DeadlineExceeded, connector.Unavailable},
		"certificate":               {get(stranger.URL), connector.Broken},
		"no TLS":                    {get("https" + plain.URL[len("http"):]), connector.Broken},
		"500":                       {status(http.StatusInternalServerError), connector.Unavailable},
		"501":                       {status(http.StatusNotImplemented), connector.Broken},
		"429":                       {status(http.StatusTooManyRequests), connector.Unavailable},
		"404":                       {status(http.StatusNotFound), connector.Broken},
		"anything else":             {errors.New("x"), connector.Broken},
	} {
		got := connector.OutcomeOf(c.err)
		if got != c.want || got.RetryHelps() != (c.want == connector.Unavailable) {
			t.Errorf("%s: %s, want %s: %v", name, got, c.want, c.err)
		}
	}
}
