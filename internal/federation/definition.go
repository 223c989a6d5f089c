package federation

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"slices"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/rule"
	"dex/internal/store"
)

// A Definition is a connector. The tags key name the keys of the configuration file, and the tags json the members of the
// stored document, whose key is the id. Upstream's custom resource Connector has the same members.
type Definition struct {
	ID   string `key:"id" json:"id,omitempty"`
	Type string `key:"type" json:"type,omitempty"` // one of Types
	Name string `key:"name" json:"name,omitempty"`
	// Settings is JSON. Variables have been expanded if the connector is configured, and are never expanded if it is stored. It is
	// empty for a configured one that JSON can't express.
	Settings   []byte   `json:"config,omitempty"`
	GrantTypes []string `key:"grantTypes" json:"grantTypes,omitempty"` // the grants that it may serve; empty means all

	rule.Source // who may sign in, and what is made of what the source says of them

	// MFAChain is the second factors of its users where their client doesn't say; nil means the server's default, empty none.
	MFAChain []string `key:"mfaChain" json:"mfaChain,omitempty"`
	// TrustedMFA are the methods (RFC 8176) by which the source itself has asked for a second factor, so that none of ours is needed.
	TrustedMFA []string `key:"trustedMFA" json:"trustedMFA,omitempty"`

	// How the login page offers it.
	Names   map[string]string `key:"names" json:"names,omitempty"`     // Name in other languages, by their tags
	LogoURL string            `key:"logoURL" json:"logoURL,omitempty"` // a file below static/ or theme/, or a URL; empty for the icon of the type
	Order   int               `key:"order" json:"order,omitempty"`     // the lowest comes first
	Hidden  bool              `key:"hidden" json:"hidden,omitempty"`   // it is not in the list
	Domains []string          `key:"domains" json:"domains,omitempty"` // of the e-mail addresses that lead to it

	Config connector.Config `json:"-"` // Settings, decoded; nil if the connector can't be used
	Broken error            `json:"-"` // what is wrong with the settings; nil if they can be used

	// Files is what the files that the settings name were like, as far as they are read when the connector opens.
	Files config.State `json:"-"`
	// FilesUnusable says that one of them can't be used, so that the connector had better stay open as it is.
	FilesUnusable bool `json:"-"`

	section config.Section // where the settings are in the file
	entry   config.Section // where the whole connector is
}

// Kind is the kind of the stored connectors.
var Kind = store.Declare(store.Declaration[Definition]{
	Name: "connector", Durable: true, Kubernetes: store.EditedObject,
})

// NewCatalog returns the stored connectors. The log is told of those that are not valid; nil for nobody.
func NewCatalog(s store.Store, log *slog.Logger) *store.Catalog[Definition] {
	return store.NewCatalog(s, store.Rules[Definition]{
		Kind: Kind, Key: func(d *Definition) string { return d.ID }, Validate: (*Definition).Validate,
	}, log)
}

// Serves reports whether the connector may be used for a grant.
func (d *Definition) Serves(grant string) bool {
	return len(d.GrantTypes) == 0 || slices.Contains(d.GrantTypes, grant)
}

// HasAskedForMore reports whether the source has asked for a second factor itself, in a way that the operator trusts.
func (d *Definition) HasAskedForMore(methods []string) bool {
	return slices.ContainsFunc(d.TrustedMFA, func(method string) bool { return slices.Contains(methods, method) })
}

// WithoutMore returns the methods of a sign-in at the source, without those that say that it has asked for a second factor.
func (d *Definition) WithoutMore(methods []string) []string {
	return slices.DeleteFunc(slices.Clone(methods), func(method string) bool {
		return method == oauth.MethodMultiple || slices.Contains(d.TrustedMFA, method)
	})
}

// BeginsLogins reports whether users may be sent to the connector. A broken or unavailable one tells them so.
func (d *Definition) BeginsLogins() bool {
	c, ok := d.Config.(connector.ExchangeOnly)
	return !ok || !c.ExchangesOnly()
}

// A Callback is where a source sends the browser back.
type Callback struct {
	Address     string // according to the settings
	Own, Shared string // our addresses: the connector's own, and that of all connectors
	Ours        bool   // Address is one of these
	Signed      bool   // see connector.ReturnAddress
}

// Callback returns where the source sends the browser back. It is false for a connector that browsers don't come back to.
func (d *Definition) Callback(issuer *url.URL) (Callback, bool) {
	returning, ok := d.Config.(connector.Returning)
	if !ok || !d.BeginsLogins() {
		return Callback{}, false
	}
	env := connector.Env{CallbackURL: callbackURL(issuer, ""), OwnCallbackURL: callbackURL(issuer, d.ID)}
	to := returning.ReturnsTo()
	address, ours := env.ReturnURL(to.URI)
	return Callback{Address: address, Own: env.OwnCallbackURL, Shared: env.CallbackURL, Ours: ours, Signed: to.Signed}, true
}

// CheckCallback warns at a key if nobody can come back from the source, as the settings, in their stored form, name an address
// that isn't ours.
func (d *Definition) CheckCallback(on *config.Checker, key string, issuer *url.URL) {
	settings, _, err := d.decode()
	if err != nil {
		return // was reported already
	}
	c, ok := (&Definition{ID: d.ID, Config: settings}).Callback(issuer)
	if ok && !c.Ours && !c.Signed {
		on.Warnf(key, "is %s, and must be %s, or %s: nobody can log in through this connector", c.Address, c.Own, c.Shared)
	}
}

// Problem returns an error about one of the connector's own settings, with its place in the file.
func (d *Definition) Problem(key, format string, args ...any) config.Problem {
	return d.section.Problem(key, format, args...)
}

// EntryProblem returns an error about one of the keys that connectors of all types have, with its place in the file.
func (d *Definition) EntryProblem(key, format string, args ...any) config.Problem {
	return d.entry.Problem(key, format, args...)
}

// Validate returns what is wrong with a connector in its stored form, or nil.
func (d *Definition) Validate() error {
	on := config.Section{}.Checker()
	d.check(on, "")
	found := on.Problems()
	if err := found.Err(); err != nil {
		return err
	}
	settings, found, err := d.decode()
	if err != nil {
		return err
	}
	checkSent(on, "", settings)
	return append(found, on.Problems()...).Err()
}

// checkSent reports settings that name a file which the connector sends to its provider. Whoever may write connectors names the
// provider too, and would be sent any file that this process can read. Those that are stored already go on working.
func checkSent(on *config.Checker, key string, settings connector.Config) {
	v := reflect.Indirect(reflect.ValueOf(settings))
	if v.Kind() != reflect.Struct {
		return
	}
	for field, value := range v.Fields() {
		if field.Tag.Get("file") == "sent" && !value.IsZero() {
			on.Errorf(key+".config."+field.Tag.Get("key"), "would send a file of the server's to whatever address the settings name, so it can "+
				"be set only in the configuration file")
		}
	}
}

// Check reports what is wrong with a connector that comes from elsewhere than the file, at a key; the settings of its type are in
// a section. Secrets in them appear in no message.
func (d *Definition) Check(on *config.Checker, key string, settings config.Section) {
	d.check(on, key)
	if c, ok := NewConfig(d.Type); ok {
		on.Decode(settings, c)
		checkSent(on, key, c)
	}
}

// decode reads the settings in their stored form.
func (d *Definition) decode() (connector.Config, config.Problems, error) {
	settings, ok := NewConfig(d.Type)
	if !ok {
		return nil, nil, errUnavailable(d.Type)
	}
	var section config.Section
	if len(d.Settings) > 0 {
		var err error
		if section, err = config.SectionFromJSON("connector "+d.ID, d.Settings); err != nil {
			return nil, nil, err
		}
	}
	found := section.Decode(settings)
	return settings, found, found.Err()
}

// open decodes the settings of a stored connector, and logs what is wrong but doesn't keep it from being used.
func (d *Definition) open(ctx context.Context, log *slog.Logger) error {
	settings, found, err := d.decode()
	if err != nil {
		return err
	}
	d.Config = settings
	on := config.Section{}.Checker()
	d.check(on, "")
	for _, p := range slices.Concat(on.Problems(), found) {
		log.WarnContext(ctx, "setting of a stored connector", "connector_id", d.ID, "problem", p.String())
	}
	return nil
}

func errUnavailable(kind string) error {
	return fmt.Errorf("connectors of type %q are not available", kind)
}

// An Opened connector is ready for use. Instance has one or more of the capabilities of package connector.
type Opened struct {
	*Definition
	Instance any
}

// Refreshes reports whether refresh tokens may extend a login through the connector.
func (o *Opened) Refreshes() bool {
	_, ok := o.Instance.(connector.Refresher)
	return ok && o.Serves(oauth.GrantRefreshToken)
}

// Current returns a user who signed in before as our own password database has them now; the error is [connector.ErrGone] if it no longer
// does. Other sources are not asked: that may take long, or change what they gave.
func (o *Opened) Current(ctx context.Context, id connector.Identity) (connector.Identity, error) {
	users, ok := o.Instance.(connector.Refresher)
	if o.Type != LocalID || !ok {
		return id, nil
	}
	return users.Refresh(ctx, connector.Scopes{Groups: true}, id)
}
