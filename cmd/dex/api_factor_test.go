package main

import (
	"strings"
	"testing"

	"dex/internal/admin"
	"dex/internal/token"
)

func TestFactorsFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleUsers)
	s.SignIn(t, "s1", "u1", "local", "shop")
	s.Enroll(t, "u1", "local", 100)
	const u1 = " --user-id u1 --connector local"
	listed := s.run("", "factor list"+u1).want(0, "*", "recovery codes left: 2", "Codes are locked").stdout
	for _, part := range []string{"totp:app", "Blue key", "copied"} {
		if !strings.Contains(listed, part) {
			t.Errorf("no %q in\n%s", part, listed)
		}
	}
	if got := s.run("", "factor list -o json --user "+token.Subject("u1", "local")).want(0, "*").stdout; !strings.Contains(got, `"locked": true`) {
		t.Errorf("got\n%s", got)
	}
	s.run("", "factor unlock"+u1+" --dry-run").want(0, "", "codes of local/u1: would be unlocked")
	s.run("", "factor unlock"+u1).want(0, "", "codes of local/u1: unlocked")
	s.run("", "factor remove totp:app --dry-run"+u1).want(0, "", "factor totp:app of local/u1: would be removed")
	s.run("", "factor remove totp:app"+u1).want(0, "", "factor totp:app of local/u1: removed")
	s.run("", "factor remove totp:app"+u1).want(exitNotFound, "", "does not exist")
	s.run("", "factor reset"+u1).want(0, "", "factors of local/u1: removed")
	s.run("", "factor list -o yaml"+u1).want(0, "items: []\nrecoveryCodes: 0\n")
	s.run("", "factor reset --user-id u9 --connector local").want(exitNotFound, "", "does not exist")
}

func TestInviteFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleUsers)
	s.run("", "user invite Configured@example.com --dry-run").want(0, "", "would be invited")
	s.run("", "user invite Configured@example.com").want(0, "https://dex.test/invitation?token=for-Configured@example.com\n", "good until 2030-05-04T12:00:00Z")
	s.run("", "user invite Configured@example.com --mail").want(0, "", "Configured@example.com: invited")
	s.run("", "user invite nobody@example.com").want(exitNotFound, "", "does not exist")
}

func TestBlockFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleUsers)
	s.SignIn(t, "s1", "u1", "local", "shop")
	const u1 = " --user-id u1 --connector local"
	s.run("", "identity block --for 2h --dry-run"+u1).want(0, "", "identity local/u1: would be blocked until 20", "sessions that would be ended: 1")
	s.run("", "identity block"+u1).want(0, "", "identity local/u1: blocked; sessions ended: 1, other logins: 0")
	if got := s.run("", "identity list").want(0, "*").stdout; !strings.Contains(got, "9999-12-31") {
		t.Errorf("got\n%s", got)
	}
	s.run("", "identity block --until 2099-01-02T03:04:05Z"+u1).want(0, "", "blocked until 2099-01-02T03:04:05Z; sessions ended: 0")
	s.run("", "identity unblock --dry-run"+u1).want(0, "", "block of local/u1: would be removed")
	s.run("", "identity unblock"+u1).want(0, "", "block of local/u1: removed")
	s.run("", "identity block --user-id typo --connector local").want(0, "", "has never signed in")
	s.run("", "identity block --until yesterday"+u1).want(exitRefused, "", "until")
	for _, args := range [][]string{
		{"identity", "block"}, {"identity", "block", "--user-id", "", "--connector", "local"}, {"identity", "unblock", "--user-id", "u1"},
		{"identity", "block", "--for", "1h", "--until", "x", "--user-id", "u1", "--connector", "local"},
		{"identity", "block", "--for", "-1h", "--user-id", "u1", "--connector", "local"},
		{"identity", "block", "--for", "0s", "--user-id", "u1", "--connector", "local"},
		{"identity", "block", "--until", "", "--user-id", "u1", "--connector", "local"},
		{"factor", "remove", "--user-id", "u1", "--connector", "local"}, {"factor", "reset", "x", "--user-id", "u1", "--connector", "local"},
		{"factor", "list", "--user", "x"},
	} {
		runAPI(t, "", append(args, "--server", s.url, "--token-file", s.token)...).want(exitUsage, "*")
	}
}
