package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dex/test/servers"
)

// A workstation is curl on the computer of somebody with a Kerberos login.
type workstation struct {
	login servers.KerberosLogin
	jar   string
	shown string // the Authorization header that it sent last
}

func newWorkstation(t *testing.T, login servers.KerberosLogin) *workstation {
	t.Helper()
	return &workstation{login: login, jar: filepath.Join(t.TempDir(), "cookies")}
}

var authorization = regexp.MustCompile(`(?m)^> Authorization: (.*?)\r?$`)

// get fetches one page; flags are curl's.
func (w *workstation) get(t *testing.T, address string, flags ...string) *page {
	t.Helper()
	body := filepath.Join(t.TempDir(), "body")
	curl := exec.CommandContext(t.Context(), "curl", append(flags, "-v", "-o", body, "-b", w.jar, "-c", w.jar, "--max-time", "30",
		"-w", `{"Status":%{http_code},"To":"%{redirect_url}","Header":%{header_json}}`, address)...)
	curl.Env = append(cleanEnvironment(), w.login.Environment...)
	var told, complaints strings.Builder
	curl.Stdout, curl.Stderr = &told, &complaints
	if err := curl.Run(); err != nil {
		t.Fatalf("curl: %v\n%s", err, &complaints)
	}
	w.shown = ""
	if all := authorization.FindAllStringSubmatch(complaints.String(), -1); len(all) > 0 {
		w.shown = all[len(all)-1][1]
	}
	var answer struct {
		Status int
		To     string
		Header map[string][]string
	}
	if err := json.Unmarshal([]byte(told.String()), &answer); err != nil {
		t.Fatalf("curl says %q: %v", &told, err)
	}
	text, err := os.ReadFile(body)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	p := &page{url: mustParse(t, address), status: answer.Status, body: string(text), header: http.Header{}}
	for name, values := range answer.Header {
		p.header[http.CanonicalHeaderKey(name)] = values
	}
	if answer.To != "" {
		p.header.Set("Location", answer.To)
		if to := mustParse(t, answer.To); isCallback(to) {
			p.answer = to.Query()
		}
	}
	return p
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
