package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"dex/internal/oauth"
)

// schemaID is the $id of the schema. There is nothing at it: dex audit schema prints the schema that the program has.
const schemaID = "urn:dex:schema:audit"

// fixed are the schemas of members that hold more than any text.
var fixed = map[string]map[string]any{
	"v":          {"const": Version},
	"seq":        {"type": "integer", "minimum": 1},
	"stream":     {"type": "string", "pattern": "^[0-9a-f]{24}$"},
	"prev":       {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
	"hash":       {"type": "string", "pattern": "^[0-9a-f]{64}$"},
	"type":       {"enum": names(Types)},
	"outcome":    {"enum": []string{string(Success), string(Failure)}},
	"reason":     {"anyOf": []any{map[string]any{"enum": names(Reasons)}, map[string]any{"enum": oauth.ErrorCodes}, map[string]any{"type": "string", "pattern": "^(source|policy)_[a-z_]+$"}}},
	"actor.kind": {"enum": []ActorKind{ActorUser, ActorClient, ActorOperator, ActorServer}},
}

// Schema returns a JSON Schema of the records, of draft 2020-12.
func Schema() []byte {
	root := object("", reflect.TypeFor[Record]())
	members, required := root["properties"].(map[string]any), root["required"].([]string)
	for _, name := range []string{"v", "seq", "stream", "prev", "hash"} {
		members[name] = fixed[name]
	}
	root["required"] = append([]string{"v", "seq", "stream", "prev", "hash"}, required...)
	root["$schema"], root["$id"] = "https://json-schema.org/draft/2020-12/schema", schemaID
	root["title"] = "A record of the audit of Dex"
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		panic(err) // texts, lists and maps can be encoded
	}
	return out.Bytes()
}

// object returns the schema of a struct. Members that it doesn't have are mistakes.
func object(path string, t reflect.Type) map[string]any {
	members, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if options != "omitempty" {
			required = append(required, name)
		}
		members[name] = valueOf(strings.TrimPrefix(path+"."+name, "."), t.Field(i).Type)
	}
	return map[string]any{"type": "object", "properties": members, "required": required, "additionalProperties": false}
}

func valueOf(path string, t reflect.Type) map[string]any {
	if known, ok := fixed[path]; ok {
		return known
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Struct:
		return object(path, t)
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": valueOf(path+"[]", t.Elem())}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	}
	return map[string]any{"type": "integer", "minimum": 0}
}

func names(words []Word) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = w.Name
	}
	return all
}
