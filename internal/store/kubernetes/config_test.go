package kubernetes

import (
	"strings"
	"testing"
)

func TestMistakes(t *testing.T) {
	for key, c := range map[string]Config{
		"":            {},
		" ":           {InCluster: true, KubeConfigFile: "x"},
		"crdHandling": {InCluster: true, CRDHandling: "maybe"},
	} {
		key := strings.TrimSpace(key)
		if found := c.Mistakes(); len(found) != 1 || found[key] == "" {
			t.Errorf("%+v: got %q, want a mistake at %q", c, found, key)
		}
	}
	for _, c := range []Config{{InCluster: true}, {KubeConfigFile: "x", CRDHandling: CRDCheck}, {InCluster: true, CRDHandling: CRDEnsure}} {
		if found := c.Mistakes(); len(found) != 0 {
			t.Errorf("%+v: got %q", c, found)
		}
	}
}
