package policy

import (
	"context"
	"slices"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/token"
)

// Factors are the second factors that there are, and who needs them.
type Factors struct {
	Authenticators []Factor
	Default        []string // the chain of users whose client and connector say nothing
	Levels         []Level  // what applications may ask for, the weakest first
}

// A Factor is an authenticator, as far as the policy knows it.
type Factor struct {
	ID             string
	ConnectorTypes []string // whose users it is for; empty means all
	Members        []string // the authenticators of which one is enough; nil for one by itself
}

// A Level is how strongly somebody may have signed in, by what it takes.
type Level struct {
	ACR   string
	Chain []string
	AnyOf []string // one of these too, where the list isn't nil
	// Methods are what the user must have signed in by (RFC 8176), at least one of them; nil where any will do.
	Methods []string
}

// An item is authenticators of which one is enough.
type item = []string

// checkSecondFactor refuses users who lack a second factor that their client, or the connector, asks for. A login asks its user for
// it instead.
func checkSecondFactor(_ context.Context, p *Policy, q *Question, d *Decision) error {
	if q.Connector == nil || !hasUser(q.Grant) {
		return nil
	}
	f := &p.options.Factors
	chain, unknown := f.chainOf(q.Client, q.Connector)
	if unknown != "" {
		return oauth.Errorf(q.deniedCode(), "The application asks for the second factor %q, which this server doesn't have.", unknown)
	}
	if q.Login && q.Stage != Known {
		return nil
	}
	if !q.trusted() {
		d.Missing = missing(chain, q.Passed)
	}
	if q.Login {
		return f.decideLevel(q, d)
	}
	if len(d.Missing) == 0 || q.Stage == BeforeSource && q.sourceMayTell() {
		d.Missing = nil
		return nil
	}
	return oauth.Errorf(q.deniedCode(), "The application asks for a second factor, which this login has not had.")
}

// trusted reports whether the user has passed second factors elsewhere, which count here.
func (q *Question) trusted() bool {
	return slices.Contains(q.Passed, token.FactorOfSource) && q.Connector.HasAskedForMore(q.Methods) ||
		q.Grant == oauth.GrantRefreshToken && slices.Contains(q.Passed, token.FactorOfUpstream)
}

// proved returns by which methods the user has signed in as far as we can tell: a key counts that was passed here, or at a source that is
// trusted. That a recovery code has stood for one, or that it no longer counts, doesn't make one of it.
func (q *Question) proved() []string {
	if q.trusted() {
		return q.Methods
	}
	return slices.DeleteFunc(slices.Clone(q.Methods), func(method string) bool {
		isKey := method == oauth.MethodHardware || method == oauth.MethodSoftware
		return isKey && !token.HasPassedBy(q.Passed, method)
	})
}

// sourceMayTell reports whether the source may yet say that its user has passed a second factor there.
func (q *Question) sourceMayTell() bool {
	return len(q.Connector.TrustedMFA) > 0 && (q.Grant == oauth.GrantPassword || q.Grant == oauth.GrantTokenExchange)
}

// chainOf returns what the users of a connector need for a client. A client outside the configuration file may name an authenticator
// that there isn't, which is returned as unknown; nobody can pass that.
func (f *Factors) chainOf(c *client.Client, d *federation.Definition) (chain []item, unknown string) {
	ids := c.MFAChain
	if ids == nil {
		ids = d.MFAChain
	}
	if ids == nil {
		ids = f.Default
	}
	return f.resolve(ids, d.Type)
}

// resolve returns what it takes to pass all of the authenticators that are for users of a connector's type, or one that there isn't.
func (f *Factors) resolve(ids []string, connectorType string) (chain []item, unknown string) {
	for _, id := range ids {
		a := f.find(id)
		if a == nil {
			return nil, id
		}
		if !a.isFor(connectorType) {
			continue
		}
		if a.Members == nil {
			chain = append(chain, item{id})
			continue
		}
		if members := f.applying(a.Members, connectorType); len(members) > 0 {
			chain = append(chain, members)
		}
	}
	return chain, ""
}

func (f *Factors) find(id string) *Factor {
	i := slices.IndexFunc(f.Authenticators, func(a Factor) bool { return a.ID == id })
	if i < 0 {
		return nil
	}
	return &f.Authenticators[i]
}

func (a *Factor) isFor(connectorType string) bool {
	return len(a.ConnectorTypes) == 0 || slices.Contains(a.ConnectorTypes, connectorType)
}

// applying returns those of some authenticators that are for users of a connector's type.
func (f *Factors) applying(ids []string, connectorType string) item {
	var found item
	for _, id := range ids {
		if a := f.find(id); a != nil && a.isFor(connectorType) {
			found = append(found, id)
		}
	}
	return found
}

// missing returns what has not been passed yet.
func missing(chain []item, passed []string) []item {
	var left []item
	for _, one := range chain {
		if !overlap(one, passed) {
			left = append(left, one)
		}
	}
	return left
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// decideLevel decides how strongly the user of a login has signed in, and what is missing for what the application asks for
// (RFC 9470, section 4). Values that we don't know are for the source: they are wishes (OpenID Connect Core, 5.5.1.1).
func (f *Factors) decideLevel(q *Question, d *Decision) error {
	wanted := f.wanted(q.ACRValues)
	reached := f.reached(q)
	if len(wanted) == 0 {
		if len(reached) > 0 {
			d.ACR = reached[len(reached)-1].ACR
		}
		return nil
	}
	for _, level := range wanted {
		if slices.ContainsFunc(reached, func(r Level) bool { return r.ACR == level.ACR }) {
			d.ACR = level.ACR
			return nil
		}
	}
	left, ok := f.easiest(wanted, q)
	if !ok {
		return oauth.Errorf(oauth.UnmetAuthenticationRequirements, "The user can't sign in as acr_values asks.")
	}
	d.Missing = merge(d.Missing, left)
	return nil
}

// easiest returns what is left for one of the levels: for the first that the user can reach with what they have set up, or else for the
// first that they can reach at all; false if there is none.
func (f *Factors) easiest(wanted []Level, q *Question) ([]item, bool) {
	var first []item
	for _, level := range wanted {
		left, applies := f.leftFor(level, q)
		switch {
		case !applies || len(left) == 0:
		case q.canPass(left):
			return left, true
		case first == nil:
			first = left
		}
	}
	return first, first != nil
}

// wanted returns the levels that an application asks for, what it likes best first.
func (f *Factors) wanted(values []string) []Level {
	var levels []Level
	for _, value := range values {
		if i := slices.IndexFunc(f.Levels, func(l Level) bool { return l.ACR == value }); i >= 0 {
			levels = append(levels, f.Levels[i])
		}
	}
	return levels
}

// reached returns the levels that the user has reached, the strongest last.
func (f *Factors) reached(q *Question) []Level {
	var found []Level
	for _, level := range f.Levels {
		if level.Methods != nil && !overlap(level.Methods, q.proved()) {
			continue
		}
		if left, applies := f.leftFor(level, q); applies && len(left) == 0 {
			found = append(found, level)
		}
	}
	return found
}

// leftFor returns what the user has still to pass for a level; false if that isn't for users of the connector. Where nothing is left,
// and the level isn't reached, it can't be.
func (f *Factors) leftFor(level Level, q *Question) (left []item, applies bool) {
	if q.trusted() && (level.Methods == nil || overlap(level.Methods, q.Methods)) {
		return nil, true
	}
	chain, unknown := f.resolve(level.Chain, q.Connector.Type)
	if unknown != "" || len(chain) < len(level.Chain) {
		return nil, false
	}
	if level.AnyOf != nil {
		alternatives := f.applying(level.AnyOf, q.Connector.Type)
		if len(alternatives) == 0 {
			return nil, false
		}
		chain = append(chain, alternatives)
	}
	return missing(chain, q.Passed), true
}

// canPass reports whether the user has set up what is left.
func (q *Question) canPass(left []item) bool {
	return len(left) > 0 && !slices.ContainsFunc(left, func(one item) bool { return !overlap(one, q.Enrolled) })
}

// merge adds items to what is missing, but none that a missing one stands for already.
func merge(to, more []item) []item {
	for _, one := range more {
		covered := slices.ContainsFunc(to, func(known item) bool {
			return !slices.ContainsFunc(known, func(id string) bool { return !slices.Contains(one, id) })
		})
		if !covered {
			to = append(to, one)
		}
	}
	return to
}
