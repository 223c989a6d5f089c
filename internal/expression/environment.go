package expression

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// The names of the variables.
const (
	identityName       = "identity"
	requestName        = "request"
	claimsName         = "claims"
	existingClaimsName = "existing_claims"
)

// Bounds of what is parsed. They are far above what people write, and below what could use up the stack or the memory.
const (
	maxNesting   = 100
	maxNodes     = 20_000
	maxRecovery  = 3
	maxRange     = 10_000 // lists.range
	maxPrecision = 100    // of format
)

// Versions of the extension libraries. Together with the functions below they are version 1 of the environment: nothing is ever
// taken away from it or changes its meaning.
const (
	stringsVersion  = 4
	listsVersion    = 3
	mathVersion     = 2
	setsVersion     = 0
	encodersVersion = 1
)

// shared is what the environments of all places of use have in common. It takes milliseconds to make, so it is made when the
// first expression is compiled.
var shared = sync.OnceValues(func() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	values := &world{Registry: registry}
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(values),
		cel.CustomTypeProvider(values),
		cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserErrorRecoveryLimit(maxRecovery),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegexp),
		regexps(),
		cel.CostEstimatorOptions(cost.PresenceTestHasCost(false)),
		ext.Strings(ext.StringsVersion(stringsVersion), ext.StringsMaxPrecision(maxPrecision)),
		ext.Encoders(ext.EncodersVersion(encodersVersion)),
		ext.Lists(ext.ListsVersion(listsVersion), ext.ListsMaxRangeSize(maxRange)),
		ext.Sets(ext.SetsVersion(setsVersion)),
		ext.Math(ext.MathVersion(mathVersion)),
	}
	env, err := cel.NewEnv(slices.Concat(options, ownFunctions(), wrappers())...)
	if err != nil {
		return nil, err
	}
	guards, err := guardAll(env)
	if err != nil {
		return nil, err
	}
	return env.Extend(guards...)
})

// environments has the one of each set of variables.
var environments struct {
	sync.Mutex
	of map[Variables]*cel.Env
}

// environment returns what expressions of a place of use can name.
func environment(on Variables) (*cel.Env, error) {
	environments.Lock()
	defer environments.Unlock()
	if env := environments.of[on]; env != nil {
		return env, nil
	}
	base, err := shared()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	env, err := base.Extend(on.declared()...)
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	if environments.of == nil {
		environments.of = map[Variables]*cel.Env{}
	}
	environments.of[on] = env
	return env, nil
}

// A variable is one that expressions can name.
type variable struct {
	name string
	is   *cel.Type
}

// offered returns the variables that a place of use offers.
func (v Variables) offered() []variable {
	claims := cel.MapType(cel.StringType, cel.DynType)
	var all []variable
	for _, each := range []struct {
		offered bool
		variable
	}{
		{v.Identity, variable{identityName, identityType}},
		{v.Request, variable{requestName, requestType}},
		{v.Claims, variable{claimsName, claims}},
		{v.ExistingClaims, variable{existingClaimsName, claims}},
	} {
		if each.offered {
			all = append(all, each.variable)
		}
	}
	return all
}

func (v Variables) declared() []cel.EnvOption {
	var all []cel.EnvOption
	for _, each := range v.offered() {
		all = append(all, cel.Variable(each.name, each.is))
	}
	return all
}

func programOptions(is shape) []cel.ProgramOption {
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if is.counted() {
		options = append(options, cel.CostTracking(estimator{}), cel.CostLimit(maxCost),
			cel.CostTrackerOptions(cost.TrackerPresenceTestHasCost(false),
				cost.OverloadTracker(overloads.Matches, matchCost), cost.OverloadTracker(overloads.MatchesString, matchCost)))
	}
	if is.loops {
		options = append(options, cel.InterruptCheckFrequency(interruptEvery))
	}
	return options
}

// interruptEvery says after how many turns of a loop its context is looked at. One turn may take a while.
const interruptEvery = 1

// hint says how to mend the mistakes that are made most: text without quotes, and misspelt variables.
func hint(message string, on Variables, want Type) string {
	const quote = `text is written in quotes of its own, as in "'some text'"`
	switch {
	case strings.HasPrefix(message, "undeclared reference"):
		var names []string
		for _, v := range on.offered() {
			names = append(names, v.name)
		}
		return "; known here: " + strings.Join(names, ", ") + "; " + quote
	case want == String && strings.HasPrefix(message, "Syntax error"):
		return "; " + quote
	}
	return ""
}

// noOverload is how the compiler says that an operator or a function doesn't take values of some types.
var noOverload = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*)'$`)

// plain makes a message of the compiler's one, without what only the compiler's authors know: its containers and tokens.
func plain(message string) string {
	message = strings.ReplaceAll(message, " (in container '')", "")
	if before, _, cut := strings.Cut(message, " expecting "); cut && strings.HasPrefix(message, "Syntax error") {
		message = before
	}
	if parts := noOverload.FindStringSubmatch(message); parts != nil {
		name, isOperator := operators.FindReverse(parts[1])
		if !isOperator || name == "" {
			name = parts[1]
		}
		return name + " can't be applied to " + parts[2]
	}
	return strings.ReplaceAll(message, "mismatched input '<EOF>'", "it ends too early")
}

// activation resolves the variables of an evaluation.
type activation struct{ in Input }

// ResolveName implements cel.Activation. What is missing is an error of the evaluation.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case identityName:
		return a.in.Identity, a.in.Identity != nil
	case requestName:
		return a.in.Request, a.in.Request != nil
	case claimsName:
		return a.in.Claims, a.in.Claims != nil
	case existingClaimsName:
		return a.in.ExistingClaims, a.in.ExistingClaims != nil
	}
	return nil, false
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }
