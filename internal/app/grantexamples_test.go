package app_test

import (
	"encoding/json"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/store"
	"dex/internal/store/memory"
)

var (
	grantBlock = regexp.MustCompile("(?s)```(yaml|yaml warning|sh|json|)\n(.*?)```")
	warnsBlock = regexp.MustCompile("(?s)```yaml warning\n(.*?)```")
)

// examples runs what docs/grants.md shows. Tokens and codes of one example are the variables of the next.
type examples struct {
	*server
	configuration string // of the part of the page that is being run
	variables     map[string]string
	answer        map[string]any // the last one
	grants        []string       // that were used
}

// Every example of the page does what the page says, with the configuration beside it.
func TestGrantExamples(t *testing.T) {
	page := docs(t)["docs/grants.md"]
	kept := memory.New()
	e := &examples{variables: map[string]string{"SUBJECT_TOKEN": "x"}}
	clients := yamlBlock.FindStringSubmatch(page)[1]
	for _, part := range strings.Split(page, "\n## ")[1:] {
		blocks := grantBlock.FindAllStringSubmatch(part, -1)
		e.configuration = ""
		for _, block := range blocks {
			if strings.HasPrefix(block[1], "yaml") {
				e.configuration += block[2]
			}
		}
		e.server = startOn(t, complete(e.configuration, clients), func(store.Store) store.Store { return kept })
		for _, block := range blocks {
			e.run(t, block[1], block[2])
		}
	}
	want := slices.DeleteFunc(slices.Clone(config.GrantTypes), func(grant string) bool { return grant == "implicit" })
	for _, grant := range want {
		if !slices.Contains(e.grants, grant) {
			t.Errorf("there is no example of %s", grant)
		}
	}
}

// complete adds to a part of a configuration what it needs to be run, and the clients of the page if it has none.
func complete(part, clients string) string {
	whole := "issuer: http://dex.test/dex\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n" + part
	for key, missing := range map[string]string{
		"connectors:":       "connectors: [{type: mockCallback, id: mock, name: Example}]\n",
		"enablePasswordDB:": "enablePasswordDB: true\n",
		"staticClients:":    clients,
	} {
		if !strings.Contains("\n"+part, "\n"+key) {
			whole += missing
		}
	}
	return whole
}

func (e *examples) run(t *testing.T, kind, text string) {
	t.Helper()
	switch {
	case kind == "sh":
		e.curl(t, text)
	case kind == "json":
		var shown map[string]any
		if err := json.Unmarshal([]byte(text), &shown); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		got := slices.Sorted(maps.Keys(e.answer))
		if want := slices.Sorted(maps.Keys(shown)); !slices.Equal(got, want) {
			t.Errorf("the answer has the members %q, the page shows %q", got, want)
		}
		for _, name := range []string{"scope", "token_type", "issued_token_type", "expires_in", "interval", "active", "aud", "token_use"} {
			if e.answer[name] != shown[name] {
				t.Errorf("%s is %v, the page shows %v", name, e.answer[name], shown[name])
			}
		}
	case kind == "" && strings.HasPrefix(text, "https://"):
		e.visit(t, strings.TrimSpace(text))
	}
}

// visit opens a link as the user's browser, who logs in and consents.
func (e *examples) visit(t *testing.T, link string) {
	t.Helper()
	b := e.browser()
	choice := b.send(httptest.NewRequest(http.MethodGet, here(t, link), nil))
	mock := mockLink.FindStringSubmatch(choice.wantStatus(http.StatusOK).body)
	if mock == nil {
		t.Fatalf("no choice: %s", choice.body)
	}
	trip := b.visit(html.UnescapeString(mock[1])).wantStatus(http.StatusFound)
	a := b.visit(trip.path()).wantStatus(http.StatusSeeOther)
	a = b.post(a.path(), url.Values{"approval": {"approve"}})
	if a.status == http.StatusOK { // response_mode=form_post
		if _, fields := a.posted(); fields.Get("id_token") == "" || fields.Get("state") != "af0ifjsldkj" {
			t.Errorf("the application gets %v", fields)
		}
		return
	}
	got := a.params()
	if got.Get("state") != "af0ifjsldkj" || got.Get("iss") != issuer {
		t.Errorf("the application gets %v", got)
	}
	e.variables["CODE"] = got.Get("code")
}

// here returns the address of an example at the server of the test.
func here(t *testing.T, address string) string {
	t.Helper()
	path, ok := strings.CutPrefix(address, "https://id.example.com/dex/")
	if !ok {
		t.Fatalf("%s is not at the server of the examples", address)
	}
	return issuer + "/" + path
}

// curl does what a command of curl does, with as much of its options as the page needs.
func (e *examples) curl(t *testing.T, command string) {
	t.Helper()
	command = os.Expand(strings.ReplaceAll(command, "\\\n", " "), func(name string) string {
		value, ok := e.variables[name]
		if !ok {
			t.Fatalf("nothing has given %s", name)
		}
		return value
	})
	words := strings.Fields(command)
	if words[0] != "curl" {
		t.Fatalf("no example: %s", command)
	}
	var user, address string
	var data []string
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-u":
			i++
			user = words[i]
		case "-d":
			i++
			data = append(data, words[i])
		default:
			address = here(t, words[i])
		}
	}
	form, err := url.ParseQuery(strings.Join(data, "&"))
	if err != nil {
		t.Fatal(err)
	}
	e.grants = append(e.grants, form.Get("grant_type"))
	if form.Has("device_code") {
		b := e.browser()
		b.viaMock(b.typeCode(e.variables["USER_CODE"], "continue"))
	}
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(strings.Join(data, "&")))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id, secret, ok := strings.Cut(user, ":"); ok {
		r.SetBasicAuth(id, secret)
	}
	e.remember(e.do(r).wantStatus(http.StatusOK))
}

// remember makes variables of the members of an answer.
func (e *examples) remember(a answer) {
	e.answer = nil
	if a.body == "" {
		return
	}
	e.answer = a.json()
	for name, value := range e.answer {
		if text, ok := value.(string); ok {
			e.variables[strings.ToUpper(name)] = text
		}
	}
}

// What the documentation marks as warned of can be used, and is warned of.
func TestDocumentedWarnings(t *testing.T) {
	marked := 0
	for name, text := range docs(t) {
		for _, block := range warnsBlock.FindAllStringSubmatch(text, -1) {
			marked++
			yaml := strings.Replace(complete(block[1], ""), "http://dex.test", "http://127.0.0.1:5556", 1)
			plan, problems := app.Check(config.Source{Name: name, Data: []byte(yaml)})
			if plan == nil || len(problems) != 1 {
				t.Errorf("want one warning:\n%s%s", app.Report(problems), yaml)
			}
		}
	}
	if marked == 0 {
		t.Error("nothing is marked")
	}
}
