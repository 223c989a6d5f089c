package app_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/store/memory"
)

// cells returns the rows of the tables of a page that have a number of cells, without their heads.
func cells(text string, number int) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		if len(row) == number {
			rows = append(rows, row)
		}
	}
	return rows
}

// section returns what stands below a heading of the second level.
func section(t *testing.T, page, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n## "+title+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", title)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// Every row where upstream departs has one row in the table, which says what both do and how to change it.
func TestEveryDepartureIsDocumented(t *testing.T) {
	list, err := os.ReadFile("testdata/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	page := docs(t)["docs/standards.md"]
	rows := strings.Fields(string(list))
	seen := map[string]int{}
	for _, row := range cells(section(t, page, "Differences from upstream"), 4)[1:] {
		seen[row[0]]++
		if slices.Contains(row, "") {
			t.Errorf("%s says nothing in one of its cells", row[0])
		}
		if row[3] != "–" && row[3] != "not there yet" && !strings.Contains(row[3], "`") {
			t.Errorf("%s: no switch is called %q", row[0], row[3])
		}
	}
	for _, row := range rows {
		if seen[row] != 1 {
			t.Errorf("%s is in the table %d times", row, seen[row])
		}
	}
	for _, row := range rowNumber.FindAllString(page, -1) {
		if !slices.Contains(rows, row) {
			t.Errorf("there is no row %s", row)
		}
	}
}

var (
	allowedAre  = regexp.MustCompile(`must be one of (.*)$`)
	switchValue = regexp.MustCompile("`([a-zA-Z]+): (upstream|default|strict)`")
)

// allowedValues returns the values of a switch, of which a wrong one makes the configuration tell.
func allowedValues(t *testing.T, key string) []string {
	t.Helper()
	_, problems := app.Check(config.Source{Name: "x.yaml", Data: []byte(
		configuration + "oauth2: {compatibility: {" + key + ": nonsense}}\n")})
	for _, p := range problems {
		if found := allowedAre.FindStringSubmatch(p.Message); found != nil && strings.HasSuffix(p.Key, key) {
			return regexp.MustCompile(`[a-z]+`).FindAllString(strings.ReplaceAll(found[1], " and ", " "), -1)
		}
	}
	t.Fatalf("nothing tells the values of %s:\n%s", key, app.Report(problems))
	return nil
}

// Every position of every switch has one row, and names the departures whose rows name it.
func TestEverySwitchIsDocumented(t *testing.T) {
	page := docs(t)["docs/standards.md"]
	documented := map[string][]string{} // by "key: value", the rows that it is about
	for _, row := range cells(section(t, page, "Switches"), 4)[1:] {
		name := strings.Trim(row[0], "`") + ": " + strings.Trim(row[1], "`")
		if documented[name] != nil {
			t.Errorf("%s is documented twice", name)
		}
		documented[name] = slices.Sorted(slices.Values(rowNumber.FindAllString(row[3], -1)))
		if len(documented[name]) == 0 || row[2] == "" {
			t.Errorf("%s: no effect or no rows", name)
		}
	}

	named := map[string][]string{}
	for _, row := range cells(section(t, page, "Differences from upstream"), 4)[1:] {
		for _, found := range switchValue.FindAllStringSubmatch(row[3], -1) {
			name, byDefault := found[1]+": "+found[2], found[1]+": default"
			named[name] = append(named[name], row[0])
			if !slices.Contains(named[byDefault], row[0]) {
				named[byDefault] = append(named[byDefault], row[0])
			}
		}
	}

	for i := range reflect.TypeFor[config.Compatibility]().NumField() {
		key := reflect.TypeFor[config.Compatibility]().Field(i).Tag.Get("key")
		for _, value := range allowedValues(t, key) {
			name := key + ": " + value
			if want := slices.Sorted(slices.Values(named[name])); !slices.Equal(documented[name], want) {
				t.Errorf("%s is said to be about %q, and is named by %q", name, documented[name], want)
			}
			delete(documented, name)
			delete(named, name)
		}
	}
	for name := range documented {
		t.Errorf("there is no %s", name)
	}
	for name := range named {
		t.Errorf("rows name %s, which there is not", name)
	}
}

// forUsers are the routes that no application needs to know, besides those below /account: pages, and what they consist of.
var forUsers = []string{
	"/", "/auth/{connector}/login", "/callback", "/callback/{connector}", "/approval", "/saml/{connector}/metadata", "/device/auth/verify_code",
	"/reset", "/reset/password", "/invitation", "/verify", "/verify/send",
	"/device/callback", "/healthz", "/language", "/logout/callback", "/mfa", "/mfa/choose", "/mfa/totp", "/mfa/recovery",
	"/mfa/codes", "/mfa/webauthn", "/mfa/webauthn/register/begin", "/mfa/webauthn/register/finish", "/mfa/webauthn/login/begin",
	"/mfa/webauthn/login/finish", "/auth/{connector}/passkey", "/robots.txt", "/static/{file...}", "/theme/{file...}",
}

// Every endpoint of applications, and every item of every list of the metadata where everything is switched on, is on the
// page.
func TestEveryFeatureIsDocumented(t *testing.T) {
	page := docs(t)["docs/standards.md"]
	world := openWorld()
	for _, pattern := range open(t, world.yaml(), nil).Patterns() {
		below := strings.TrimSuffix(pattern, "/dex") // RFC 8414, below the root
		if !slices.Contains(forUsers, pattern) && !strings.HasPrefix(pattern, "/account/") && !strings.Contains(section(t, page, "Endpoints"), "`"+below+"`") {
			t.Errorf("the endpoint %s is not in docs/standards.md", pattern)
		}
	}
	features := slices.Clone(config.GrantTypes)
	for _, value := range world.in(t, memory.New()).get("/dex/.well-known/openid-configuration").wantStatus(200).json() {
		list, _ := value.([]any)
		for _, item := range list {
			if text, ok := item.(string); ok {
				features = append(features, text)
			}
		}
	}
	there := section(t, page, "What is implemented")
	for _, feature := range features {
		if !strings.Contains(there, "`"+feature+"`") {
			t.Errorf("%s is not in docs/standards.md", feature)
		}
	}
}
