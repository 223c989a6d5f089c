package login

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"dex/internal/client"
	"dex/internal/oauth"
	"dex/internal/token"
	"dex/internal/ui"
)

// A Purpose is what people sign in for, such as an application's authorization request.
type Purpose interface {
	// Name says in a login that is under way which purpose it has.
	Name() string
	// Open returns the request that was encoded as a JSON document when its login began.
	Open(document []byte) (Request, error)
}

// A Request is what one login is for. It is encoded as JSON while the login is under way.
type Request interface {
	Ask() Ask
	// Repeat returns the parameters with which /auth begins the request anew. Nil means that no address can repeat the request;
	// its login is kept from the beginning.
	Repeat() url.Values
	// Check returns what stands against the request besides the policy. It is asked before a login ends, as the client may have
	// changed since the login began. An *oauth.Error refuses the request; any other error is shown to the user.
	Check(c *client.Client) error
	// Granted ends a login whose user has signed in and agreed. An *oauth.Error refuses the request; any other error is shown to
	// the user.
	Granted(r *http.Request, g Grant) (End, error)
	// WayOn returns how somebody gets on whose login can't.
	WayOn(ctx context.Context) WayOn
	// Refused ends a login that came to nothing.
	Refused(r *http.Request, refused Refusal) (End, error)
}

// Ask is what a request asks of a login.
type Ask struct {
	ClientID string
	// Own stands for a page of this server that users sign in to, instead of an application. Nobody has registered it, and it needs no
	// consent.
	Own         *client.Client
	Grant       string   // that the policy is asked about
	Also        []string // the grants that the request uses besides
	Scopes      []string
	RedirectURI string // where the answer goes; empty where there is none
	ConnectorID string // the only one to sign in with, if set
	Subject     string // the only user who may sign in, if set
	Silent      bool   // the user must not be asked anything
	Consent     bool   // the user must be asked for consent, even where the configuration skips that
	// FreshFactor has users who have second factors pass one of them in this login, whatever else they need to pass, and whenever they
	// passed one before.
	FreshFactor bool
	// Page is what the consent page says of the request; the login adds what it knows of the user and the client.
	Page ui.ApprovalPage

	// What the source is told.
	Prompt    []string
	MaxAge    *time.Duration
	LoginHint string
	ACRValues string
	UILocales string
}

// A Grant is what a user has agreed to.
type Grant struct {
	Authorization token.Authorization
	Terms         token.Terms // on which tokens may be made at once
	// Secret is set where the user can give the same answer again, as by a second press of a button. It is the same each time,
	// and only the user's browser holds it.
	Secret string
	// BrowserState changes when the sessions of the user's browser do; empty where applications can't watch that.
	BrowserState string
}

// A WayOn is how somebody gets on whose login can't.
type WayOn struct {
	StartURL, StartText string           // begins the request anew
	Back                *ui.FormPostPage // tells the application that the login came to nothing; nil where that is impossible
	HomeURL             string           // the start page of the application, as far as the request tells
}

// A Refusal is why a login came to nothing.
type Refusal struct {
	Err    *oauth.Error // what the application is told
	ByUser bool         // the user has refused, and knows why
	// Denied is set where the source knows the user and doesn't let them in, or where their account can't be used here. The
	// user is told why.
	Denied *Denial
}

// A Denial is what a user is told whom the source doesn't let in.
type Denial struct {
	Reason, Advice string
	// AnewURL begins the login anew, as somebody else; empty where nobody else may sign in.
	AnewURL string
}

// An End is how a login ends in the browser.
type End struct {
	// Address is where the browser is sent; empty for a page. The cookies that go with it depend on its length.
	Address string
	Show    http.HandlerFunc
	// Keep is set where the user can go on with the login after all.
	Keep bool
}
