package expression_test

import (
	"errors"
	"testing"
	"time"

	"dex/internal/expression"
)

// Whatever an expression is, it neither panics nor takes long, and what is wrong with it has a place in it.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		`identity.email_verified && "admins" in identity.groups`, `claims.a.b[0]`, `dex.groupMatches(identity.groups, "team/*")`,
		`identity.groups.map(g, g + g).filter(g, g.matches("a+")).join(",")`, `"%s %d".format([claims.name, 1])`,
		`lists.range(100).map(x, [x, x]).flatten().sort()`, `sets.contains([1], [2])`, `math.greatest(1, 2.5)`, `{"a": [1u, b"x"]}`,
		`timestamp("2026-01-02T03:04:05Z") + duration("1h")`, `base64.encode(b"x")`, `[1, 2].exists(x, x == 1 || 1 / 0 == 1)`,
		`identity.email.split("@")[1].upperAscii().replace("A", "aa")`, `has(claims.x) ? claims.x : type(1)`, `cel.IdentityVal{}`,
		`identity.groups.map(g, identity.groups + [g]).distinct()`, `[claims].map(x, [x, x]).exists(x, x in [x] && x == x)`,
		`identity.groups.exists(g, g.matches(claims.name + "(a?){9}"))`, `size(dyn(identity)["gro" + "ups"]) + "a".indexOf("b")`,
		"true &&\n  false", `"\u00e9".charAt(0)`, `existing_claims == claims`, `request.scopes.all(s, s in ["openid"])`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		p, err := expression.Compile(text, everything, expression.Any)
		if err != nil {
			if invalid, ok := errors.AsType[*expression.Invalid](err); !ok || invalid.Line < 1 || invalid.Column < 1 || invalid.Message == "" {
				t.Fatalf("%q: %#v", text, err)
			}
		} else {
			_, _ = p.Any(t.Context(), jane())  // an error is as good as a value
			_, _ = p.Any(t.Context(), crowd()) // and here too
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Fatalf("%q took %v", text, took)
		}
	})
}
