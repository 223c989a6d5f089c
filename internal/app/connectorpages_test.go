package app_test

import (
	"reflect"
	"strings"
	"testing"

	"dex/internal/federation"
)

// The page of each type begins with a configuration, which another test reads, and names every key.
func TestPagesOfConnectors(t *testing.T) {
	all := docs(t)
	for _, kind := range federation.Types() {
		settings, available := federation.NewConfig(kind)
		if !available || kind == "samlExperimental" || strings.HasPrefix(kind, "mock") {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			page := all["docs/connectors/"+kind+".md"]
			if blocks, _ := yamlBlocks(page); len(blocks) == 0 || strings.Index(page, blocks[0]) > strings.Index(page, "\n## ") {
				t.Error("the page does not begin with a configuration")
			}
			for name, text := range all {
				if strings.HasPrefix(name, "docs/connectors/"+kind+"-") { // a part of it that has its own page
					page += text
				}
			}
			for _, key := range keysOf(reflect.TypeOf(settings).Elem(), "") {
				if !strings.Contains(page, "`"+key+"`") {
					t.Errorf("the page does not name the key %s", key)
				}
			}
		})
	}
}

// keysOf returns the keys of settings; those of lists of settings by themselves.
func keysOf(of reflect.Type, prefix string) []string {
	var keys []string
	for i := range of.NumField() {
		field := of.Field(i)
		key, ok := field.Tag.Lookup("key")
		if !ok {
			continue
		}
		inner, path := field.Type, prefix+key
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case inner.Kind() == reflect.Struct && inner.NumField() > 0:
			keys = append(keys, keysOf(inner, path+".")...)
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct:
			keys = append(keys, path)
			keys = append(keys, keysOf(inner.Elem(), "")...)
		default:
			keys = append(keys, path)
		}
	}
	return keys
}
