package credentials

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"dex/internal/relyingparty"
)

// scopeCloud lets its holder use the API that signs for service accounts.
const scopeCloud = "https://www.googleapis.com/auth/cloud-platform"

// An account is a service account whose key Google keeps. Another identity, or the account itself, may have Google sign for it
// (the role Service Account Token Creator).
type account struct {
	env       *Env
	base      origin
	delegates []string // service accounts in between
	lifetime  string   // of access tokens, such as 3600s; empty for an hour
	// where returns the account's address at the API, and its e-mail address.
	where func(context.Context) (url, email string, err error)
}

// generate is how the address of an account ends in files.
const generate = ":generateAccessToken"

// newAccount returns an account by the address that files have of it.
func newAccount(env *Env, base origin, address string, delegates []string, seconds int) (*account, error) {
	url, ok := strings.CutSuffix(address, generate)
	at := strings.LastIndex(url, "/serviceAccounts/")
	if !ok || at < 0 {
		return nil, fmt.Errorf("service_account_impersonation_url must end in /serviceAccounts/ACCOUNT%s", generate)
	}
	if err := checkURL("service_account_impersonation_url", address); err != nil {
		return nil, err
	}
	a := &account{env: env, base: base, delegates: delegates}
	if seconds > 0 {
		a.lifetime = fmt.Sprintf("%ds", seconds)
	}
	email := url[at+len("/serviceAccounts/"):]
	if !isAccount(email) {
		return nil, fmt.Errorf("service_account_impersonation_url has the account %q", email)
	}
	a.where = func(context.Context) (string, string, error) { return url, email, nil }
	return a, nil
}

// call asks the API for something in the account's name.
func (a *account) call(ctx context.Context, method string, document map[string]any, into any) error {
	url, _, err := a.where(ctx)
	if err != nil {
		return err
	}
	given, err := a.base.token(ctx, scopeCloud)
	if err != nil {
		return err
	}
	if len(a.delegates) > 0 {
		document["delegates"] = a.delegates
	}
	if err := given.As(a.env.HTTP, nil).PostJSON(ctx, url+method, document, into); err != nil {
		return fmt.Errorf("%s of IAM: %w", strings.TrimPrefix(method, ":"), err)
	}
	return nil
}

func (a *account) token(ctx context.Context, scope string) (*relyingparty.Tokens, error) {
	document := map[string]any{"scope": []string{scope}}
	if a.lifetime != "" {
		document["lifetime"] = a.lifetime
	}
	var answer struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
	}
	if err := a.call(ctx, generate, document, &answer); err != nil {
		return nil, err
	}
	if answer.AccessToken == "" {
		return nil, errNoToken
	}
	return &relyingparty.Tokens{Access: answer.AccessToken, Expiry: answer.ExpireTime}, nil
}

func (a *account) email(ctx context.Context) (string, error) {
	_, email, err := a.where(ctx)
	return email, err
}

func (a *account) sign(ctx context.Context, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	var answer struct {
		SignedJWT string `json:"signedJwt"`
	}
	err = a.call(ctx, ":signJwt", map[string]any{"payload": string(payload)}, &answer)
	return answer.SignedJWT, err
}

func (a *account) tokenURL(ctx context.Context) (string, error) { return a.env.TokenURL(ctx) }
