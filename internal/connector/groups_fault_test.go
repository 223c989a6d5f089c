package connector

import (
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// The log said twice that a user is in no group that may log in, and never in which ones they are.
var _ = faulttest.Add("N15", func(t *testing.T) {
	denied := NotInGroups("allowedGroups", make([]string, 5000))
	if len(denied.Error()) > 1000 {
		t.Errorf("the log has %d characters", len(denied.Error()))
	}
	denied = NotInGroups("allowedGroups", []string{"Admins", "ops"})
	if strings.Contains(denied.Reason, "ops") {
		t.Errorf("the user is told %q", denied.Reason)
	}
	if want := `log in here: the user is in 2 groups, and in none of allowedGroups: ["Admins" "ops"]`; !strings.HasSuffix(denied.Error(), want) {
		t.Errorf("the log has %q", denied)
	}
})
