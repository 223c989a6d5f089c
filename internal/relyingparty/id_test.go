package relyingparty_test

import (
	"encoding/json"
	"testing"

	"dex/internal/relyingparty"
)

func TestID(t *testing.T) {
	for said, want := range map[string]string{
		`1`: "1", `9007199254740993`: "9007199254740993", `"1"`: "1", `"{a-b}"`: "{a-b}", `null`: "", `""`: "", `0`: "", `-1`: "-1",
	} {
		var got struct{ ID relyingparty.ID }
		if err := json.Unmarshal([]byte(`{"id": `+said+`}`), &got); err != nil || string(got.ID) != want {
			t.Errorf("%s: %q, %v", said, got.ID, err)
		}
	}
	for _, said := range []string{`1.5`, `1e3`, `true`, `{}`, `[1]`, `1.0`} {
		var got struct{ ID relyingparty.ID }
		if err := json.Unmarshal([]byte(`{"id": `+said+`}`), &got); err == nil {
			t.Errorf("%s is taken for %q", said, got.ID)
		}
	}
}
