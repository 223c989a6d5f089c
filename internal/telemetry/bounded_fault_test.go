package telemetry_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/telemetry"
)

// A login of a user in 10,000 groups made a log line of 381 KiB.
var _ = faulttest.Add("O10", func(t *testing.T) {
	groups := make([]string, 10_000)
	for i := range groups {
		groups[i] = fmt.Sprintf("cn=group %d,ou=groups", i)
	}
	for _, format := range []string{"text", "json"} {
		var b strings.Builder
		log := telemetry.NewLogger(&b, format, slog.LevelInfo, nil)
		log.Info("login successful", "groups", groups, "username", "jané")
		if line := b.String(); len(line) > 5000 || !strings.Contains(line, "cn=group 49,") || !strings.Contains(line, "... 10000 in all") ||
			strings.Contains(line, "cn=group 50,") || !strings.Contains(line, "jané") {
			t.Errorf("%s: %d bytes, %.200s", format, len(line), line)
		}
		b.Reset()
		long := strings.Repeat("é", 1<<20)
		log.Info("refused", "err", errors.New(long), "value", long, "list", []string{long}, slog.Group("g", "value", long))
		if line := b.String(); len(line) > 60<<10 || strings.Count(line, "(2097152 bytes in all)") != 4 {
			t.Errorf("%s: %d bytes, %d values cut", format, len(line), strings.Count(line, "bytes in all"))
		}
		b.Reset()
		log.Info("short", "err", errors.New("why"), "list", groups[:50], "nothing", []string(nil))
		if line := b.String(); strings.Contains(line, "in all") || !strings.Contains(line, "why") || !strings.Contains(line, "cn=group 49,") {
			t.Errorf("%s: what is short is changed: %s", format, line)
		}
	}
})
