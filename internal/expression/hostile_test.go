package expression_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"dex/internal/expression"
)

// mostTime is the most processor time that an expression may take. It is generous, as the race detector takes most of it: without the
// bounds there are expressions here that take minutes.
const mostTime = 6 * time.Second

// crowd is a user with as many groups as directories give at most, and claims that are larger than any estimate assumes.
func crowd() expression.Input {
	in := jane()
	in.Identity.Groups = make([]string, 10_000)
	for i := range in.Identity.Groups {
		in.Identity.Groups[i] = fmt.Sprintf("team/%d/members", i)
	}
	list := make([]any, 10_000)
	for i := range list {
		list[i] = fmt.Sprintf("role-%d", i)
	}
	in.Claims["roles"] = list
	in.Claims["long"] = strings.Repeat("a", 16<<10)
	in.Claims["endless"] = strings.Repeat("a", 1<<20)
	return in
}

// What would take long or much memory is refused when it is compiled, or given up when it is evaluated.
func TestHostileExpressions(t *testing.T) {
	nested := func(depth int, before, inside, after string) string {
		return strings.Repeat(before, depth) + inside + strings.Repeat(after, depth)
	}
	double := `["aaaaaaaaaaaaaaaa"]`
	for range 30 {
		double += `.map(x, x + x)`
	}
	for name, text := range map[string]string{
		"three loops":        `identity.groups.all(a, identity.groups.all(b, identity.groups.all(c, a + b != c)))`,
		"two loops":          `identity.groups.all(a, identity.groups.all(b, a + b != "x"))`,
		"loops over claims":  `claims.roles.all(a, claims.roles.all(b, a != b + "x"))`,
		"filters":            `identity.groups.filter(a, identity.groups.filter(b, a == b + "x").size() > 0).size() == 0`,
		"exists one":         `identity.groups.exists_one(a, identity.groups.exists_one(b, a == b + "x"))`,
		"lists of lists":     `identity.groups.map(a, identity.groups.map(b, a + b)).size() > 0`,
		"doubling":           double + `.size() > 0`,
		"long texts":         `lists.range(10000).map(x, claims.long + string(x)).size() > 0`,
		"texts in texts":     `claims.long.replace("a", claims.long).size() > 0`,
		"empty replaced":     `claims.long.replace("", claims.long).size() > 0`,
		"joined":             `claims.roles.map(r, claims.long).join(claims.long).size() > 0`,
		"join of lists":      `identity.groups.map(g, identity.groups.join(",")).size() > 0`,
		"format of lists":    `"` + nested(200, "%s", "", "") + `".format([` + nested(200, "identity.groups,", "1", "") + `]).size() > 0`,
		"format, wide":       `"%.1000000000f".format([1.5]).size() > 0`,
		"range":              `lists.range(1000000000).size() > 0`,
		"ranges":             `lists.range(10000).map(x, lists.range(10000)).size() > 0`,
		"flatten":            `lists.range(10000).map(x, identity.groups).flatten().size() > 0`,
		"slices":             `lists.range(10000).map(x, identity.groups.slice(1, 9999)).size() > 0`,
		"reversed":           `identity.groups.map(x, claims.roles.reverse()).size() > 0`,
		"sorted":             `identity.groups.map(x, identity.groups.sort()).size() > 0`,
		"distinct":           `identity.groups.distinct().size() > 0`,
		"sets":               `sets.intersects(identity.groups, identity.groups.map(g, g + "x"))`,
		"sets, equivalent":   `sets.equivalent(claims.roles, claims.roles)`,
		"quoted":             nested(90, "strings.quote(", "claims.long", ")") + `.size() > 0`,
		"encoded":            nested(90, "base64.encode(bytes(", "claims.long", "))") + `.size() > 0`,
		"split":              `identity.groups.map(g, claims.long.split("")).size() > 0`,
		"matches":            `identity.groups.exists(g, claims.long.matches("(a*)*(a*)*(a*)*(a*)*b"))`,
		"large pattern":      `identity.email.matches("((a{30}){30}){30}")`,
		"repeated pattern":   `identity.email.matches("(a{1000}){1000}")`,
		"dynamic pattern":    `identity.groups.exists(g, claims.long.matches(g + "(a{1,100}){1,100}b"))`,
		"endless claim":      `string(claims.endless).contains("b")`,
		"parentheses":        nested(5000, "(", "true", ")"),
		"brackets":           nested(5000, "[", "1", "]") + `.size() > 0`,
		"braces":             nested(1600, `{"a":`, "1", "}") + `.size() > 0`,
		"calls":              nested(1500, "size(", "1", ")") + " == 1",
		"sum":                nested(5000, "1+", "1", "") + " == 1",
		"conditions":         nested(1000, "true?1:", "1", "") + " == 1",
		"unclosed":           nested(10_000, "(", "", ""),
		"unclosed brackets":  nested(9_000, "[", "", ""),
		"loops in loops":     nested(60, "[1,2].all(x,", "true", ")"),
		"wide loops":         nested(8, "[1,2,3,4,5,6,7,8].all(x,", "true", ")"),
		"long text matched":  `claims.long.matches("(a|b)*c")`,
		"distinct lists":     `identity.groups.slice(0, 2000).map(g, identity.groups + [g]).distinct().size() > 0`,
		"sets of lists":      `sets.contains(identity.groups.slice(0, 500).map(g, identity.groups), identity.groups.slice(0, 500).map(g, ["x"]))`,
		"list in lists":      `(identity.groups + ["a"]) in identity.groups.slice(0, 2000).map(g, identity.groups + ["b"])`,
		"doubled list":       `[identity.groups]` + strings.Repeat(`.map(x, x + x)`, 30) + `.all(x, !("x" in x))`,
		"doubled claim":      `[claims.roles]` + strings.Repeat(`.map(x, x + x)`, 30) + `.all(x, !("x" in x))`,
		"shared list":        `[dyn(identity.groups)]` + strings.Repeat(`.map(x, dyn([x, x, x, x]))`, 30) + `.all(x, x == x)`,
		"shared map":         `[dyn(claims)]` + strings.Repeat(`.map(x, dyn({"a": x, "b": x, "c": x}))`, 30) + `.all(x, x != x)`,
		"searched":           `(claims.long.substring(1) + "b").indexOf(claims.long.substring(0, 8000) + "b") > 0`,
		"equal claims":       `lists.range(9000).all(i, claims.roles == claims.roles)`,
		"written backwards":  `lists.range(9000).all(i, claims.long.reverse() != "")`,
		"chained patterns":   nested(9, `!claims.long.substring(0, 4096).matches("(a?){245}c") && `, "true", ""),
		"patterns of claims": `claims.roles.all(r, !r.matches("(.*.*.*.*.*){10}x") && !r.matches("(.*.*.*.*.*){11}x"))`,
		"pattern for groups": `identity.groups.all(g, size(dex.groupMatches(identity.groups, "*a*a*a*a*a*a*a*a*b")) == 0)`,
		"filters for groups": `identity.groups.all(g, size(dex.groupFilter(identity.groups, identity.groups)) > 0)`,
		"transformed":        `math.greatest(identity.groups.map(x, claims.roles.map(y, size(x + y)))[0]) > 0`,
	} {
		t.Run(name, func(t *testing.T) {
			in := crowd()
			if len(text) > expression.MaxLength {
				t.Fatalf("%d bytes are refused for another reason", len(text))
			}
			took, grown, refused := measured(text, in)
			t.Logf("%v, %d KiB: %v", took, grown>>10, refused)
			if refused == nil {
				t.Errorf("was evaluated, in %v and %d KiB", took, grown>>10)
			}
			if took > mostTime || grown > 64<<20 {
				t.Errorf("took %v and %d KiB to refuse: %v", took, grown>>10, refused)
			}
			if invalid, ok := errors.AsType[*expression.Invalid](refused); ok && invalid.Line != 1 {
				t.Errorf("is said to be wrong in line %d", invalid.Line)
			}
		})
	}
}

// What is as expensive as its cost lets it be takes no longer than people wait for, even if the user has 10,000 groups.
func TestExpensiveExpressions(t *testing.T) {
	in := crowd()
	defer expression.SetMaxTime(time.Minute)() // so that only the cost ends them
	for name, text := range map[string]string{
		"a loop":            `identity.groups.all(g, g != "x")`,
		"loops":             `identity.groups.all(a, identity.groups.slice(0, 8).all(b, a != "x"))`,
		"a pattern":         `identity.groups.all(g, !g.matches("^(team|dept|org)/[a-z0-9-]+/(owners|admins)$"))`,
		"a bad pattern":     `claims.long.substring(0, 4096).matches("(a?){245}b")`,
		"bad patterns":      `identity.groups.slice(0, 5000).all(g, !g.matches("(.*.*.*.*.*){10}x"))`,
		"groupFilter":       `lists.range(50).all(i, dex.groupFilter(identity.groups, identity.groups).size() > 0)`,
		"groupMatches":      `lists.range(20).all(i, dex.groupMatches(identity.groups, "*a*a*a*b").size() == 0)`,
		"compared":          `lists.range(5000).all(i, identity.groups == identity.groups)`,
		"compared claims":   `lists.range(30).all(i, claims.roles == claims.roles)`,
		"looked up":         `lists.range(9000).all(i, !("x" in identity.groups))`,
		"looked up, claims": `lists.range(70).all(i, !("x" in claims.roles))`,
		"members of a map":  `lists.range(9000).all(i, "roles" in claims && !("x" in dyn(claims)))`,
		"joined":            `lists.range(200).all(i, identity.groups.slice(0, 900).join(",") != "")`,
		"sets":              `sets.intersects(identity.groups.slice(0, 2000), identity.groups.slice(2001, 4001))`,
	} {
		t.Run(name, func(t *testing.T) {
			took, _, err := measured(text, in)
			t.Logf("%v: %v", took, err)
			if name == "members of a map" && err != nil { // which is free
				t.Error(err)
			}
			if took > mostTime {
				t.Errorf("took %v: %v", took, err)
			}
		})
	}
}

// A loop ends when its time is over, whatever it has cost, and has no value then.
func TestLoopsEndInTime(t *testing.T) {
	const text = `identity.groups.all(a, identity.groups.slice(0, 5).all(b, a + b != "x"))`
	p, in := compile(t, text, expression.Bool), crowd()
	defer expression.SetMaxTime(time.Minute)()
	if got, err := p.Bool(t.Context(), in); err != nil || !got {
		t.Fatalf("with time enough: %v %v", got, err)
	}
	defer expression.SetMaxTime(time.Nanosecond)()
	if got, err := p.Bool(t.Context(), in); got || err == nil || !strings.Contains(err.Error(), "it takes too long") {
		t.Errorf("got %v, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
	defer cancel()
	<-ctx.Done()
	if got, err := p.Bool(ctx, in); got || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the end of its request: %v, %v", got, err)
	}
}

// measured compiles and evaluates, and returns what that took: time of the processor, and the most that the heap has been larger by.
func measured(text string, in expression.Input) (took time.Duration, grown int64, refused error) {
	runtime.GC()
	before, most := heap(), int64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				most = max(most, heap())
			}
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := ofThread()
	p, err := expression.Compile(text, everything, expression.Bool)
	if err == nil {
		_, err = p.Bool(context.Background(), in)
	}
	took = ofThread() - start
	close(stop)
	<-done
	return took, max(most, heap()) - before, err
}

func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// ofThread returns the processor time that this thread has taken: what else runs on the machine doesn't count.
func ofThread() time.Duration {
	const thisThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thisThread, &u); err != nil {
		panic(err) // there is nothing wrong with the arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
