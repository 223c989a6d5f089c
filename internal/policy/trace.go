package policy

import (
	"fmt"
	"strings"

	"dex/internal/oauth"
)

// A Trace collects what each rule has made of a question, for anyone who asks why a decision is as it is.
type Trace struct{ Steps []Step }

// A Step is what one rule has said.
type Step struct {
	Stage   Stage
	Rule    string
	Where   string // the setting that the step is about, such as client app: allowedGroups; empty for the rule as a whole
	Outcome Outcome
	Detail  string
}

// An Outcome is what comes of a rule.
type Outcome string

// What comes of rules.
const (
	Passed  Outcome = "passed"
	Refused Outcome = "refused"
	Changed Outcome = "changed" // what tokens say
	Asks    Outcome = "asks"    // for second factors
)

// note adds a step about a setting.
func (q *Question) note(where string, outcome Outcome, format string, args ...any) {
	if q.Trace != nil {
		q.Trace.Steps = append(q.Trace.Steps, Step{q.Stage, q.rule, where, outcome, fmt.Sprintf(format, args...)})
	}
}

// refusedBy notes which setting refuses, and returns the refusal.
func (q *Question) refusedBy(setting string, refusal *oauth.Error) error {
	q.note(setting, Refused, "%s", refusal.Description)
	return refusal
}

// noteEnd adds how a rule has ended, unless it has said so itself.
func (q *Question) noteEnd(said int, d *Decision, err error) {
	if q.Trace == nil {
		return
	}
	own := q.Trace.Steps[said:]
	switch {
	case err != nil:
		if len(own) == 0 || own[len(own)-1].Outcome != Refused {
			q.note("", Refused, "%v", err)
		}
	case len(d.Missing) > 0 && q.rule == RuleSecondFactor:
		q.note("", Asks, "the user must pass %s", alternatives(d.Missing))
	case len(own) == 0:
		q.note("", Passed, "")
	}
}

// alternatives names authenticators: of each item, any one.
func alternatives(items [][]string) string {
	texts := make([]string, len(items))
	for i, one := range items {
		texts[i] = strings.Join(one, " or ")
	}
	return strings.Join(texts, ", and ")
}

// noted returns how many steps there are.
func (q *Question) noted() int {
	if q.Trace == nil {
		return 0
	}
	return len(q.Trace.Steps)
}
