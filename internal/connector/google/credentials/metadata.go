package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// metadataHost is where machines of Google's cloud learn about themselves.
const metadataHost = "169.254.169.254"

// A metadata server gives tokens to the machine or the pod that we run on.
type metadata struct {
	env  *Env
	host string
}

// newMetadata returns the service account that this machine runs as.
func newMetadata(env *Env) *account {
	m := &metadata{env: env, host: cmp.Or(os.Getenv("GCE_METADATA_HOST"), metadataHost)}
	email := outbound.NewFact(m.email)
	return &account{env: env, base: m, where: func(ctx context.Context) (string, string, error) {
		name, err := email.Get(ctx)
		if err != nil {
			return "", "", err
		}
		return env.IAM + "/v1/projects/-/serviceAccounts/" + *name, *name, nil
	}}
}

// token returns a token of the scopes that the machine has: those of the cloud, as a rule.
func (m *metadata) token(ctx context.Context, _ string) (*relyingparty.Tokens, error) {
	answer, err := m.ask(ctx, "token")
	if err != nil {
		return nil, err
	}
	given, err := relyingparty.ReadTokens(answer)
	if err != nil {
		return nil, fmt.Errorf("metadata server: %w", err)
	}
	return given, nil
}

func (m *metadata) email(ctx context.Context) (*string, error) {
	answer, err := m.ask(ctx, "email")
	if err != nil {
		return nil, err
	}
	email := strings.TrimSpace(string(answer.Body))
	if !isAccount(email) {
		return nil, errors.New("metadata server: this machine has no service account")
	}
	return &email, nil
}

// isAccount reports whether a text is the e-mail address of a service account, which may be put into a path.
func isAccount(text string) bool {
	return strings.Count(text, "@") == 1 && !strings.ContainsAny(text, "/?#%: \t\r\n<>\"")
}

func (m *metadata) ask(ctx context.Context, what string) (*outbound.Answer, error) {
	address := "http://" + m.host + "/computeMetadata/v1/instance/service-accounts/default/" + what
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Metadata-Flavor", "Google")
	answer, err := outbound.Do(m.env.Direct, r)
	if err != nil {
		return nil, fmt.Errorf("there are no credentials: neither a file, nor Google's metadata server: %w", err)
	}
	if answer.Status != http.StatusOK || answer.Header.Get("Metadata-Flavor") != "Google" {
		return nil, connector.FromStatus(answer.Status, fmt.Errorf("metadata server: %s answers %d", address, answer.Status))
	}
	return answer, nil
}
