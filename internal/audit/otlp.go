package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dex/internal/outbound"
)

// maxRetryAfter bounds for how long a collector can ask to be left alone.
const maxRetryAfter = time.Minute

// A later error says when to try again.
type later struct {
	wait  time.Duration
	cause error
}

func (l *later) Error() string { return l.cause.Error() }
func (l *later) Unwrap() error { return l.cause }

// otlp is an output to a collector of OpenTelemetry: logs by OTLP over HTTP, in its JSON encoding.
type otlp struct {
	endpoint string
	headers  map[string]string
	client   *http.Client
}

func newOTLP(o Output) (*otlp, error) {
	var cas []string
	if o.RootCA != "" {
		cas = []string{o.RootCA}
	}
	client, err := outbound.NewClient(cas, false)
	if err != nil {
		return nil, err
	}
	return &otlp{endpoint: o.Endpoint, headers: o.Headers, client: client}, nil
}

// The messages of opentelemetry-proto, as far as they are used: logs/v1/logs.proto, ExportLogsServiceRequest.
type (
	otlpRequest struct {
		ResourceLogs []otlpResourceLogs `json:"resourceLogs"`
	}
	otlpResourceLogs struct {
		Resource  otlpResource    `json:"resource"`
		ScopeLogs []otlpScopeLogs `json:"scopeLogs"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpScopeLogs struct {
		Scope      otlpScope    `json:"scope"`
		LogRecords []otlpRecord `json:"logRecords"`
	}
	otlpScope struct {
		Name string `json:"name"`
	}
	otlpRecord struct {
		Time       string          `json:"timeUnixNano"` // 64 bit numbers are texts in the JSON encoding
		Observed   string          `json:"observedTimeUnixNano"`
		Severity   int             `json:"severityNumber"`
		Text       string          `json:"severityText"`
		EventName  string          `json:"eventName"`
		Body       otlpValue       `json:"body"`
		Attributes []otlpAttribute `json:"attributes"`
		TraceID    string          `json:"traceId,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		Text string `json:"stringValue"`
	}
	// otlpAnswer is ExportLogsServiceResponse.
	otlpAnswer struct {
		PartialSuccess struct {
			Rejected json.RawMessage `json:"rejectedLogRecords"` // a text or a number
			Message  string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
)

// Severities of OpenTelemetry.
const (
	otlpInfo = 9
	otlpWarn = 13
)

func (o *otlp) begin(context.Context) (string, error) { return "", nil }

func (o *otlp) write(ctx context.Context, lines []line) (taken int, err error) {
	body, err := json.Marshal(o.request(lines))
	if err != nil {
		return 0, fmt.Errorf("encode records: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, o.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("otlp: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range o.headers {
		r.Header.Set(name, value)
	}
	answer, err := outbound.Do(o.client, r)
	if err != nil {
		return 0, err
	}
	return o.read(answer, len(lines))
}

// read says what an answer means for the records that were sent.
func (o *otlp) read(a *outbound.Answer, sent int) (taken int, err error) {
	switch {
	case a.Status >= 200 && a.Status < 300:
		return accepted(a.Body, sent)
	case a.Status == http.StatusBadRequest, a.Status == http.StatusRequestEntityTooLarge, a.Status == http.StatusUnprocessableEntity:
		return 0, &declined{lines: sent, cause: fmt.Errorf("the collector has refused %d records: HTTP status %d", sent, a.Status)}
	}
	err = fmt.Errorf("the collector answers with HTTP status %d", a.Status)
	if wait := retryAfter(a.Header.Get("Retry-After")); wait > 0 {
		return 0, &later{wait, err}
	}
	return 0, err
}

// accepted looks into an answer for records that the collector has refused all the same. It doesn't say which.
func accepted(body []byte, sent int) (int, error) {
	var answer otlpAnswer
	if json.Unmarshal(body, &answer) != nil {
		return sent, nil //nolint:nilerr // a collector needn't say anything
	}
	rejected, err := strconv.Atoi(strings.Trim(string(answer.PartialSuccess.Rejected), `"`))
	if err != nil || rejected <= 0 {
		return sent, nil //nolint:nilerr // it is absent
	}
	return sent, &declined{among: min(rejected, sent), cause: fmt.Errorf("the collector has refused %d of %d records", rejected, sent)}
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return min(time.Duration(max(seconds, 0))*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(time.Until(at), maxRetryAfter)
	}
	return 0
}

func (o *otlp) request(lines []line) otlpRequest {
	observed := strconv.FormatInt(time.Now().UnixNano(), 10)
	records := make([]otlpRecord, len(lines))
	for i, l := range lines {
		r := otlpRecord{
			Time: strconv.FormatInt(l.at.UnixNano(), 10), Observed: observed, Severity: otlpInfo, Text: "INFO", EventName: "dex." + string(l.kind),
			Body:       otlpValue{string(bytes.TrimSuffix(l.text, []byte("\n")))},
			Attributes: []otlpAttribute{{"dex.audit.type", otlpValue{string(l.kind)}}},
			TraceID:    l.trace,
		}
		if l.failed {
			r.Severity, r.Text = otlpWarn, "WARN"
		}
		records[i] = r
	}
	return otlpRequest{[]otlpResourceLogs{{
		Resource:  otlpResource{[]otlpAttribute{{"service.name", otlpValue{"dex"}}}},
		ScopeLogs: []otlpScopeLogs{{otlpScope{"dex.audit"}, records}},
	}}}
}

func (o *otlp) settle() error { return nil }

func (o *otlp) close() error {
	o.client.CloseIdleConnections()
	return nil
}
