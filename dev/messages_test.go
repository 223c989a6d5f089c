package dev_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// templateMessage finds messages in templates.
var templateMessage = regexp.MustCompile(`\.(?:T|Plain) ("(?:[^"\\]|\\.)*")`)

// spoken are the places in the code whose texts people read: what they are called, as members of composite literals or as functions.
var (
	spokenMembers = []string{"Reason", "ErrMsg", "Hint", "Message", "Advice", "RetryText", "StartText", "Heading", "Title"}
	spokenCalls   = []string{"Text", "text", "HTML", "Say", "newPage", "Errorf", "Hint", "Retry", "Parse", "unreadable"}
)

// aSentence is what the code says to people, wherever that stands: messages of errors and of the log begin with a small letter.
var aSentence = regexp.MustCompile(`^[A-Z][^\n]* [^\n]*[.!?…]$`)

// speaking are the rooms that have something to say to people on pages.
var speaking = []string{
	"account", "app", "authorize", "connector", "device", "federation", "limit", "login", "logout", "page", "relyingparty",
	"selfservice", "ui",
}

// silent are files whose sentences are for applications, or for who runs the server.
var silent = []string{
	"app/conditions.go", "app/listen.go", "app/reload.go", "authorize/parameters.go", "authorize/response.go", "device/device.go", "device/poll.go",
	"federation/metrics.go", "logout/backchannel", "connector/crowd/api.go", "connector/gitea", "relyingparty/idtokens.go", "ui/views.go",
}

// Every message has a translation in every language, and no translation is of a message that is gone.
func TestMessagesAreTranslated(t *testing.T) {
	said := messages(t)
	files, err := filepath.Glob("../internal/locale/messages/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no languages", err)
	}
	page, err := os.ReadFile("../docs/languages.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if tag := strings.TrimSuffix(filepath.Base(name), ".json"); !strings.Contains(string(page), "`"+tag+"`") {
			t.Errorf("docs/languages.md does not name %s", tag)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Messages map[string]json.RawMessage `json:"messages"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		english := filepath.Base(name) == "en.json"
		for _, message := range slices.Sorted(maps.Keys(said)) {
			if _, ok := file.Messages[message]; !ok && (!english || strings.Contains(message, "{n}")) {
				t.Errorf("%s lacks %q, which is in %s", name, message, said[message])
			}
		}
		for message := range file.Messages {
			if _, ok := said[message]; !ok {
				t.Errorf("%s has %q, which nothing says", name, message)
			}
		}
	}
}

// messages returns all messages, and where each is.
func messages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	templates, err := filepath.Glob("../internal/ui/web/templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range templates {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range templateMessage.FindAllStringSubmatch(string(text), -1) {
			message, err := strconv.Unquote(match[1])
			if err != nil {
				t.Fatal(err)
			}
			found[message] = name
		}
	}
	for _, room := range speaking {
		err := filepath.WalkDir("../internal/"+room, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") ||
				strings.Contains(name, "connectortest") || isSilent(name) {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err == nil {
				listen(file, name, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func isSilent(name string) bool {
	return slices.ContainsFunc(silent, func(file string) bool { return strings.HasPrefix(name, "../internal/"+file) })
}

// unknowable finds what only the running code fills in, such as the name of an organization: the text stays in English.
var unknowable = regexp.MustCompile(`%[^d]`)

// listen collects what a file says.
func listen(file *ast.File, name string, found map[string]string) {
	add := func(e ast.Expr, whole bool) {
		if name, ok := e.(*ast.Ident); ok && name.Obj != nil { // a constant of the file
			if c, ok := name.Obj.Decl.(*ast.ValueSpec); ok && len(c.Values) == 1 {
				e = c.Values[0]
			}
		}
		literal, ok := e.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil || !whole && !aSentence.MatchString(strings.TrimSpace(text)) || !strings.ContainsAny(text, "abcdefghijklmnopqrstuvwxyz") ||
			text[0] < 'A' || text[0] > 'Z' || unknowable.MatchString(text) {
			return
		}
		text = strings.ReplaceAll(text, "%d", "{n}")
		for sentence := range strings.SplitAfterSeq(strings.TrimSpace(text), ". ") {
			found[strings.TrimSpace(sentence)] = name
		}
	}
	asked := map[ast.Node]bool{} // messages that the code asks the catalogue for, which finds them only as a whole
	ast.Inspect(file, func(n ast.Node) bool {
		if message, literal := askedFor(n); message != "" {
			found[message] = name
			asked[literal] = true
		}
		if literal, ok := n.(*ast.BasicLit); ok && !asked[literal] {
			add(literal, false)
		}
		said, deeper := saidBy(n)
		for _, e := range said {
			if !asked[e] {
				add(e, true)
			}
		}
		return deeper
	})
}

// askedFor returns the message that a call asks a language for, and its literal.
func askedFor(n ast.Node) (string, ast.Node) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", nil
	}
	if in, called := named(call.Fun); !slices.Contains([]string{"Text", "HTML"}, called) || in == "template" {
		return "", nil
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", nil
	}
	message, err := strconv.Unquote(literal.Value)
	if err != nil || message == "" || message[0] < 'A' || message[0] > 'Z' { // such as the name of a claim
		return "", nil
	}
	return message, literal
}

// saidBy returns what a node says to people, and whether there may be more within it.
func saidBy(n ast.Node) (said []ast.Expr, deeper bool) {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && slices.Contains(spokenMembers, key.Name) {
			return []ast.Expr{n.Value}, true
		}
	case *ast.AssignStmt:
		if member, ok := n.Lhs[0].(*ast.SelectorExpr); ok && slices.Contains(spokenMembers, member.Sel.Name) {
			return n.Rhs, true
		}
	case *ast.FuncDecl:
		if n.Name.Name == "Prompt" && n.Body != nil && len(n.Body.List) == 1 { // the label of a field
			if label, ok := n.Body.List[0].(*ast.ReturnStmt); ok {
				return label.Results, true
			}
		}
	case *ast.CompositeLit:
		switch _, kind := named(n.Type); kind {
		case "BadToken": // what applications are told
			return nil, false
		case "advice":
			return n.Elts, true
		}
	case *ast.CallExpr:
		return saidByCall(n)
	}
	return nil, true
}

func saidByCall(n *ast.CallExpr) (said []ast.Expr, deeper bool) {
	room, called := named(n.Fun)
	if room == "oauth" {
		return nil, false // what applications are told
	}
	if room == "fmt" || !slices.Contains(spokenCalls, called) {
		return nil, true
	}
	for _, arg := range n.Args {
		said = append(said, arg)
		if or, ok := arg.(*ast.CallExpr); ok && called != "Errorf" { // such as cmp.Or
			said = append(said, or.Args...)
		}
	}
	return said, true
}

// named returns what a function or a type is called, and in which room or variable it is.
func named(e ast.Expr) (in, name string) {
	switch e := e.(type) {
	case *ast.Ident:
		return "", e.Name
	case *ast.SelectorExpr:
		if room, ok := e.X.(*ast.Ident); ok {
			in = room.Name
		}
		return in, e.Sel.Name
	}
	return "", ""
}
