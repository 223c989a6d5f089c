package outbound_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dex/internal/outbound"
	"dex/internal/telemetry"
)

// Sources learn the ids of traces only if they are to.
func TestSourcesLearnOfTracesOnlyIfTheyMay(t *testing.T) {
	var header string
	source := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header.Get("Traceparent") }))
	defer source.Close()
	client := outbound.NewDirectClient()
	for _, told := range []bool{false, true} {
		traces := telemetry.NewTraces(telemetry.TracesConfig{Endpoint: "http://127.0.0.1:1/", Client: client, OneIn: 1, Propagate: told})
		var id string
		header = ""
		ask := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			id = telemetry.TraceID(r.Context())
			if _, _, err := outbound.Get(r.Context(), client, source.URL, nil); err != nil {
				t.Error(err)
			}
		})
		stranger := func(*http.Request) bool { return false }
		traces.Route("/", stranger, ask).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		if told != (header != "") || told && !strings.HasPrefix(header, "00-"+id+"-") {
			t.Errorf("propagate %v: the source got traceparent %q in the trace %s", told, header, id)
		}
		if err := traces.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
