package main

import (
	"strings"
	"testing"

	"dex/internal/admin"
	"dex/internal/token"
)

func TestSessionsFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleUsers)
	s.SignIn(t, "s1", "u1", "local", "shop", "till")
	s.SignIn(t, "s2", "u1", "corp", "till")
	s.SignIn(t, "s3", "u2", "local", "shop")
	list := s.run("", "session list --user-id u1 --connector local").want(0, "*").stdout
	lines := strings.Split(list, "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[0]), " ") != "ID USER EMAIL CONNECTOR ADDRESS SIGNED IN LAST USED CLIENTS" ||
		!strings.HasPrefix(lines[1], "s1  Jane  u1@example.com  local      192.0.2.1  ") || !strings.HasSuffix(lines[1], "  shop +1") {
		t.Errorf("got\n%s", list)
	}
	for line, want := range map[string][2]string{
		"session list -o json":                                {`"id": "s2"`, "hash-of-secret"},
		"session list -o yaml":                                {"\n- id: ", "source-"},
		"session list --user " + token.Subject("u2", "local"): {"s3 ", "s1 "},
		"session list --client shop":                          {"s3 ", "s2 "},
		"session show s1":                                     {"userAgent: Browser\n", "source-"},
		"session get s1 -o json":                              {`"address": "192.0.2.1"`, "hash-of-secret"},
		"identity list":                                       {"local      u2       Jane  u2@example.com", "source-"},
		"identity list -o json":                               {`"items": [`, "source-"},
		"identity show --user-id u1 --connector local":        {"- client: till\n", "source-"},
	} {
		if got := s.run("", line).want(0, "*").stdout; !strings.Contains(got, want[0]) || strings.Contains(got, want[1]) {
			t.Errorf("dex %s prints\n%s", line, got)
		}
	}

	s.run("", "consent revoke --user-id u1 --connector local --client shop --dry-run").want(0, "", "consent for shop: would be revoked")
	s.run("", "consent revoke --user-id u1 --connector local --client shop").want(0, "", "consent for shop: revoked")
	s.run("", "consent revoke --user-id u1 --connector local --client shop").want(exitNotFound, "", "does not exist")
	s.run("", "session end s3 s9").want(exitNotFound, "", "session s3: ended")
	s.run("", "session end --user-id u1 --logins --dry-run").want(0, "", "sessions that would be ended: 2\nother logins that would be ended: 0\n")
	s.run("", "session end --user-id u1 --logins").want(0, "", "sessions that were ended: 2\nother logins that were ended: 0\n")
	s.run("", "session end --client shop").want(0, "", "sessions that were ended: 0\n")
	s.run("", "identity delete --user "+token.Subject("u1", "local")+" --dry-run").want(0, "", "identity local/u1: would be deleted")
	s.run("", "identity delete --user "+token.Subject("u1", "local")).want(0, "", "identity local/u1: deleted")
	s.run("", "identity show --user-id u1 --connector local").want(exitNotFound, "", "does not exist")
	if left := s.Left(t); left != "[] [] 2" {
		t.Errorf("left %s", left)
	}
}

// Nobody ends other sessions than they mean because a variable of a script is empty.
func TestSessionsOfNobodyFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleUsers)
	s.SignIn(t, "s1", "u1", "local", "shop")
	for _, args := range [][]string{
		{"session", "end"}, {"session", "end", ""}, {"session", "end", "--client", ""}, {"session", "end", "s1", "--client", "shop"},
		{"session", "end", "--client", "shop", "--logins"}, {"session", "list", "--user", "a", "--connector", "b"},
		{"identity", "delete"}, {"identity", "delete", "--user", "x"}, {"identity", "delete", "--user-id", "", "--connector", "local"},
		{"consent", "revoke", "--user-id", "u1", "--connector", "local"},
	} {
		runAPI(t, "", append(args, "--server", s.url, "--token-file", s.token)...).want(exitUsage, "*")
	}
	if left := s.Left(t); left != "[s1] [s1-shop] 0" {
		t.Errorf("left %s", left)
	}
	reader := serveAPI(t, nil, admin.RoleRead)
	reader.run("", "session list").want(0, "*")
	reader.run("", "session end --client shop").want(exitForbidden, "", "users")
	reader.run("", "identity delete --user-id u1 --connector local").want(exitForbidden, "", "users")
}

func TestCompletionOfSessions(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleAll)
	s.SignIn(t, "s1", "u1", "local", "shop")
	for want, args := range map[string][]string{
		"s1\n:4\n":         {"session", "end", "--server", s.url, "--token-file", s.token, "s"},
		"configured\n:4\n": {"session", "list", "--server", s.url, "--token-file", s.token, "--client", "conf"},
	} {
		if o := runAPI(t, "", append([]string{"__complete"}, args...)...).want(0, "*"); !strings.HasPrefix(o.stdout, want) {
			t.Errorf("got %q", o.stdout)
		}
	}
}
