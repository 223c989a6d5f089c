package telemetry

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/event"
	"dex/internal/oauth"
)

// eventMetrics are what events are counted by. No label has a text that a stranger can choose: events name clients and
// connectors only if they exist, except [event.RequestRefused], whose client no label has.
type eventMetrics struct {
	clients, connectors *labelSet

	attempts  *prometheus.CounterVec
	sources   *prometheus.HistogramVec
	logins    *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	tokenSize *prometheus.HistogramVec
	largest   *prometheus.GaugeVec
	tooLarge  *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	reuses    *prometheus.CounterVec
	factors   *prometheus.CounterVec
	locked    prometheus.Counter
	limits    *prometheus.CounterVec
	removed   *prometheus.CounterVec
	sessions  *prometheus.CounterVec
	logouts   *prometheus.CounterVec
	mails     *prometheus.CounterVec

	sizes struct {
		sync.Mutex
		largest map[sizeOf]int
	}
}

// sizeOf names the largest token of a type that a client has got.
type sizeOf struct{ kind, client string }

func newEventMetrics() *eventMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &eventMetrics{
		clients: newLabelSet(mostClients), connectors: newLabelSet(mostConnectors),
		attempts: counter("dex_connector_attempts_total",
			"Attempts to learn from a connector who somebody is, by what it was for and how it ended.", "connector", "operation", "outcome"),
		sources: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dex_source_duration_seconds",
			Help:    "Time that an identity source took to answer.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		}, []string{"connector", "operation", "outcome"}),
		logins: counter("dex_logins_total", "Logins in browsers, by how they ended and why.", "connector", "client", "result", "reason"),
		tokens: counter("dex_tokens_issued_total", "Answers with tokens, by client and grant.", "client", "grant"),
		tokenSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dex_token_size_bytes",
			Help:    "Size of issued tokens.",
			Buckets: []float64{1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10},
		}, []string{"type"}),
		largest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dex_token_size_largest_bytes",
			Help: "Size of the largest token that a client has got since the start.",
		}, []string{"type", "client"}),
		tooLarge: counter("dex_tokens_over_budget_total",
			"Answers with a token that was larger than it should be, or that refers to UserInfo for groups, by client.", "client"),
		refusals: counter("dex_requests_refused_total",
			"Requests of applications that were answered with an error, by endpoint, grant and error code.", "endpoint", "grant", "code"),
		reuses: counter("dex_token_reuse_total",
			"Refresh tokens and authorization codes that were used twice, which ended their logins.", "type", "client"),
		factors: counter("dex_factor_attempts_total", "Attempts to prove a second factor or a passkey, by method and result.", "method", "result"),
		locked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dex_factors_locked_total",
			Help: "Users whose codes are no longer checked, after too many wrong ones.",
		}),
		limits:   counter("dex_limit_refusals_total", "Attempts that were refused because there were too many before, by limit.", "limit"),
		removed:  counter("dex_sweep_removed_total", "Expired records that this replica has removed, by kind.", "kind"),
		sessions: counter("dex_sessions_ended_total", "Browser sessions that have ended, by reason.", "reason"),
		logouts: counter("dex_logout_tokens_total",
			"Attempts to tell applications that a session has ended, by result: sent, failed (and tried again), given_up.", "result"),
		mails: counter("dex_mails_total", "Attempts to send mail, by result: sent, failed (and tried again), given_up.", "result"),
	}
	m.sizes.largest = map[sizeOf]int{}
	return m
}

func (m *eventMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.attempts, m.sources, m.logins, m.tokens, m.tokenSize, m.largest, m.tooLarge, m.refusals, m.reuses, m.factors, m.locked, m.limits, m.removed,
		m.sessions, m.logouts, m.mails,
	}
}

// Emit counts an event; it implements event.Sink.
func (m *eventMetrics) Emit(_ context.Context, e event.Event) {
	if m.ofLogin(e) || m.ofToken(e) || m.ofMessage(e) {
		return
	}
	switch e := e.(type) {
	case event.FactorPassed:
		m.factors.WithLabelValues(word(string(e.Method)), "passed").Inc()
	case event.FactorRefused:
		m.factors.WithLabelValues(word(string(e.Method)), word(string(e.Reason))).Inc()
	case event.FactorsLocked:
		m.locked.Inc()
	case event.LimitReached:
		m.limits.WithLabelValues(word(string(e.Limit))).Inc()
	case event.SessionEnded:
		m.sessions.WithLabelValues(word(string(e.Why))).Inc()
	case event.Swept:
		m.removed.WithLabelValues(e.Kind).Add(float64(e.Removed))
	}
}

func (m *eventMetrics) ofLogin(e event.Event) bool {
	switch e := e.(type) {
	case event.SourceAsked:
		connector := m.connectors.of(e.ConnectorID)
		m.attempts.WithLabelValues(connector, e.Operation, e.Outcome).Inc()
		if e.Took > 0 {
			m.sources.WithLabelValues(connector, e.Operation, e.Outcome).Observe(e.Took.Seconds())
		}
	case event.LoginGranted:
		m.login(e.ConnectorID, e.ClientID, "success", "")
	case event.WrongPassword:
		if e.Form {
			m.login(e.ConnectorID, e.ClientID, "refused", "wrong_password")
		}
	case event.LoginFailed:
		if e.Logout || e.SelfService {
			break
		}
		result := "refused"
		if e.Status >= http.StatusInternalServerError {
			result = "failed"
		}
		m.login(e.ConnectorID, e.ClientID, result, reasonOf(e))
	default:
		return false
	}
	return true
}

func (m *eventMetrics) login(connectorID, clientID, result, reason string) {
	m.logins.WithLabelValues(m.connectors.of(connectorID), m.clients.of(clientID), result, reason).Inc()
}

// reasonOf returns why a login has failed: how its source has answered, or which rule of the policy has refused it, or the error
// code that the application gets.
func reasonOf(e event.LoginFailed) string {
	if reason := event.ReasonOf(e.Err); reason != "" {
		return reason
	}
	switch {
	case e.Code != "":
		return e.Code
	case e.Status >= http.StatusInternalServerError:
		return oauth.ServerError
	}
	return oauth.InvalidRequest
}

func (m *eventMetrics) ofToken(e event.Event) bool {
	switch e := e.(type) {
	case event.TokensIssued:
		client := m.clients.of(e.ClientID)
		m.tokens.WithLabelValues(client, grantLabel(e.GrantType)).Inc()
		m.size("access_token", client, e.AccessTokenSize)
		m.size("id_token", client, e.IDTokenSize)
	case event.TokenTooLarge:
		m.tooLarge.WithLabelValues(m.clients.of(e.ClientID)).Inc()
	case event.RequestRefused:
		m.refusals.WithLabelValues(word(string(e.Endpoint)), grantLabel(e.GrantType), e.Code).Inc()
	case event.RefreshTokenReused:
		m.reuses.WithLabelValues("refresh_token", m.clients.of(e.ClientID)).Inc()
	case event.CodeReplayed:
		m.reuses.WithLabelValues("code", m.clients.of(e.ClientID)).Inc()
	default:
		return false
	}
	return true
}

// size notes the size of a token; 0 means that there is none.
func (m *eventMetrics) size(kind, client string, size int) {
	if size == 0 {
		return
	}
	m.tokenSize.WithLabelValues(kind).Observe(float64(size))
	m.sizes.Lock()
	defer m.sizes.Unlock()
	if of := (sizeOf{kind, client}); size > m.sizes.largest[of] {
		m.sizes.largest[of] = size
		m.largest.WithLabelValues(kind, client).Set(float64(size))
	}
}

// grantLabel returns a grant type that a request named; those that don't exist have one value together.
func grantLabel(name string) string {
	if name == "" || slices.Contains(oauth.UserGrants(), name) || slices.Contains(oauth.ClientGrants(), name) {
		return name
	}
	return "unknown"
}

func (m *eventMetrics) ofMessage(e event.Event) bool {
	switch e.(type) {
	case event.LogoutTokenSent:
		m.logouts.WithLabelValues("sent").Inc()
	case event.LogoutTokenFailed:
		m.logouts.WithLabelValues("failed").Inc()
	case event.LogoutTokenGivenUp:
		m.logouts.WithLabelValues("given_up").Inc()
	case event.MailSent:
		m.mails.WithLabelValues("sent").Inc()
	case event.MailFailed:
		m.mails.WithLabelValues("failed").Inc()
	case event.MailGivenUp:
		m.mails.WithLabelValues("given_up").Inc()
	default:
		return false
	}
	return true
}
