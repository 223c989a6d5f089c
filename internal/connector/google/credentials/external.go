package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// maxSubject bounds a token of another provider, in bytes.
const maxSubject = 256 << 10

// An external identity is one at another provider, such as Kubernetes, which Google trusts (workload identity federation).
type external struct {
	env    *Env
	us     *relyingparty.Client
	file   *file
	source source
}

// A source is where the other provider's token is.
type source struct {
	File    string            `json:"file"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Format  struct {
		Type  string `json:"type"`
		Field string `json:"subject_token_field_name"`
	} `json:"format"`
}

func newExternal(env *Env, f *file) (*external, error) {
	e := &external{env: env, us: (&relyingparty.Client{ID: f.ClientID, Secret: f.ClientSecret}).Over(env.HTTP), file: f, source: f.Source}
	e.us.Method = relyingparty.AuthNone
	if f.ClientSecret != "" {
		e.us.Method = relyingparty.AuthBasic
	}
	s := &e.source
	switch {
	case f.Audience == "" || f.SubjectTokenType == "" || f.TokenURL == "":
		return nil, errors.New("audience, subject_token_type or token_url is missing")
	case (s.File == "") == (s.URL == ""):
		return nil, errors.New("credential_source must have either a file or a url; commands, certificates and AWS can't be used here")
	case s.Format.Type != "" && s.Format.Type != "text" && s.Format.Type != "json":
		return nil, fmt.Errorf("credential_source.format.type must be text or json, not %q", s.Format.Type)
	case s.Format.Type == "json" && s.Format.Field == "":
		return nil, errors.New("credential_source.format.subject_token_field_name is missing")
	case s.URL != "" && !isNear(s.URL):
		if err := checkURL("credential_source.url", s.URL); err != nil {
			return nil, err
		}
	}
	return e, checkURL("token_url", f.TokenURL)
}

// token exchanges the other provider's token (RFC 8693).
func (e *external) token(ctx context.Context, scope string) (*relyingparty.Tokens, error) {
	subject, err := e.subject(ctx)
	if err != nil {
		return nil, fmt.Errorf("credential_source: %w", err)
	}
	params := map[string]string{ //nolint:gosec // G101: names of parameters
		"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": e.file.Audience, "scope": scope,
		"requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"subject_token_type":   e.file.SubjectTokenType, "subject_token": subject,
	}
	if e.file.UserProject != "" && e.file.ClientID == "" {
		options, err := json.Marshal(map[string]string{"userProject": e.file.UserProject})
		if err != nil {
			return nil, err
		}
		params["options"] = string(options)
	}
	return post(ctx, e.us, e.file.TokenURL, params)
}

// subject reads the other provider's token, each time anew: it lives for a short time only.
func (e *external) subject(ctx context.Context) (string, error) {
	text, err := e.read(ctx)
	if err != nil {
		return "", err
	}
	if e.source.Format.Type == "json" {
		var said map[string]any
		if err := json.Unmarshal(text, &said); err != nil {
			return "", fmt.Errorf("it is no JSON: %w", err)
		}
		token, _ := said[e.source.Format.Field].(string)
		text = []byte(token)
	}
	if token := strings.TrimSpace(string(text)); token != "" {
		return token, nil
	}
	return "", errors.New("there is no token")
}

func (e *external) read(ctx context.Context) ([]byte, error) {
	if e.source.File != "" {
		return readBounded(e.source.File, maxSubject)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.source.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	for name, value := range e.source.Headers {
		r.Header.Set(name, value)
	}
	client := e.env.HTTP
	if isNear(e.source.URL) {
		client = e.env.Direct
	}
	answer, err := outbound.Do(client, r)
	switch {
	case err != nil:
		return nil, err
	case answer.Status != http.StatusOK:
		return nil, connector.FromStatus(answer.Status, fmt.Errorf("its url answers %d", answer.Status))
	case len(answer.Body) > maxSubject:
		return nil, fmt.Errorf("it is longer than %d bytes", maxSubject)
	}
	return answer.Body, nil
}

// readBounded reads a file that the operator names.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return text, err
}
