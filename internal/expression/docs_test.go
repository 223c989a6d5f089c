package expression_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"dex/internal/expression"
)

// The examples of docs/expressions.md are true.
func TestDocumentedExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	in, count := documented(t, string(page)), 0
	for _, block := range blocks(string(page), "cel") {
		for line := range strings.Lines(block) {
			text, want, ok := strings.Cut(strings.TrimSpace(line), " // ")
			if !ok {
				t.Errorf("%q has no result", line)
				continue
			}
			count++
			checkExample(t, strings.TrimSpace(text), want, in)
		}
	}
	if count < 20 {
		t.Errorf("found only %d examples", count)
	}
}

func checkExample(t *testing.T, text, want string, in expression.Input) {
	t.Helper()
	var got any
	p, err := expression.Compile(text, everything, expression.Any)
	if err == nil {
		got, err = p.Any(t.Context(), in)
	}
	if why, refused := strings.CutPrefix(want, "refused: "); refused {
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, %v; the page says %s", text, got, err, want)
		}
		return
	}
	encoded, encodeErr := json.Marshal(got)
	if err != nil || encodeErr != nil || string(encoded) != want {
		t.Errorf("%s: got %s, %v; the page says %s", text, encoded, err, want)
	}
}

// documented reads what the examples are about.
func documented(t *testing.T, page string) expression.Input {
	t.Helper()
	var said struct {
		Identity struct {
			UserID            string   `json:"user_id"`
			Username          string   `json:"username"`
			PreferredUsername string   `json:"preferred_username"`
			Email             string   `json:"email"`
			EmailVerified     bool     `json:"email_verified"`
			Groups            []string `json:"groups"`
		} `json:"identity"`
		Request struct {
			ClientID    string   `json:"client_id"`
			ConnectorID string   `json:"connector_id"`
			RedirectURI string   `json:"redirect_uri"`
			Scopes      []string `json:"scopes"`
		} `json:"request"`
		Claims map[string]any `json:"claims"`
	}
	if err := json.Unmarshal([]byte(strings.Join(blocks(page, "json"), "")), &said); err != nil {
		t.Fatal(err)
	}
	i, r := said.Identity, said.Request
	return expression.Input{
		Identity: &expression.Identity{
			UserID: i.UserID, Username: i.Username, PreferredUsername: i.PreferredUsername, Email: i.Email, EmailVerified: i.EmailVerified,
			Groups: i.Groups,
		},
		Request: &expression.Request{ClientID: r.ClientID, ConnectorID: r.ConnectorID, RedirectURI: r.RedirectURI, Scopes: r.Scopes},
		Claims:  said.Claims,
	}
}

// blocks returns the code blocks of a page in a language.
func blocks(page, language string) []string {
	var all []string
	for {
		_, rest, found := strings.Cut(page, "```"+language+"\n")
		if !found {
			return all
		}
		block, after, _ := strings.Cut(rest, "```")
		all, page = append(all, block), after
	}
}
