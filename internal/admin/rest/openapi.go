package rest

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dex/internal/config"
)

// Document returns the OpenAPI document of the API. It is made of the table of routes and of the types of their bodies.
func Document() []byte { return slices.Clone(document()) }

var document = sync.OnceValue(func() []byte {
	d := describing{schemas: object{}}
	paths := object{}
	for i := range table {
		r := &table[i]
		path, _ := paths[r.path].(object)
		if path == nil {
			path = object{}
			paths[r.path] = path
		}
		path[strings.ToLower(r.method)] = d.operation(r)
	}
	d.schema(reflect.TypeFor[problem]())
	whole := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Dex's management API", "version": "2",
			"description": "Clients, users, connectors, logins, sessions, keys and the configuration of Dex, while it runs. Members are the keys of the configuration file.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []any{object{"url": Base}},
		"security": []any{object{"bearer": []any{}}, object{"certificate": []any{}}},
		"tags":     tagsOfTable(),
		"paths":    paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{
				"bearer": object{
					"type": "http", "scheme": "bearer",
					"description": "An admin token, an ID token of Dex, or a token of a Kubernetes service account",
				},
				"certificate": object{"type": "mutualTLS", "description": "A client certificate"},
			},
		},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(whole); err != nil {
		panic("the OpenAPI document can't be encoded: " + err.Error()) // it has texts, numbers and truth values only
	}
	return b.Bytes()
})

type object = map[string]any

// about says what the tags of operations are.
var about = map[string]string{
	"clients": "Registered applications", "users": "The password database", "connectors": "Identity sources",
	"logins": "Logins that refresh tokens keep alive", "server": "The server itself", "keys": "Keys that sign tokens",
	"configuration": "The configuration file", "tokens": "Admin tokens",
	"sessions": "Sessions of browsers", "identities": "Users that have signed in while sessions were on",
	"policy":  "What the policy decides, and why",
	"factors": "Second factors and passkeys of these users",
}

func tagsOfTable() []any {
	var names []string
	for i := range table {
		if !slices.Contains(names, table[i].tag) {
			names = append(names, table[i].tag)
		}
	}
	all := make([]any, len(names))
	for i, name := range names {
		all[i] = object{"name": name, "description": about[name]}
	}
	return all
}

// describing collects the schemas that a document needs.
type describing struct{ schemas object }

func (d *describing) operation(r *route) object {
	o := object{
		"operationId": r.id, "tags": []any{r.tag}, "summary": r.summary, "responses": d.responses(r),
		"x-dex-roles": r.needs.Roles(),
	}
	if r.needs == "" {
		delete(o, "x-dex-roles")
	}
	if parameters := d.parameters(r); len(parameters) > 0 {
		o["parameters"] = parameters
	}
	if r.body != nil {
		o["requestBody"] = object{"required": true, "content": d.content("application/json", r.body)}
	}
	return o
}

func (d *describing) parameters(r *route) []any {
	var all []any
	for segment := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			all = append(all, object{
				"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"},
			})
		}
	}
	for _, p := range r.parameters() {
		schema := object{"type": "string"}
		switch {
		case p.number:
			schema = object{"type": "integer", "minimum": 1, "maximum": maxPage, "default": usualPage}
		case p.truth:
			schema = object{"type": "boolean", "default": false}
		}
		all = append(all, object{"name": p.name, "in": "query", "description": p.about, "required": p.required, "schema": schema})
	}
	header := func(name, about string) {
		all = append(all, object{"name": name, "in": "header", "description": about, "schema": object{"type": "string"}})
	}
	if r.matches {
		header("If-Match", "The ETag that the record must still have, or `*` if it must exist")
	}
	if r.create {
		header("If-None-Match", "`*` if it must not exist")
	}
	return all
}

func (d *describing) responses(r *route) object {
	all := object{}
	for _, a := range r.answers {
		response := object{"description": a.about}
		if a.body != nil {
			response["content"] = d.content("application/json", a.body)
		}
		if r.etag {
			response["headers"] = object{"ETag": object{"description": "The record's revision", "schema": object{"type": "string"}}}
		}
		all[strconv.Itoa(a.status)] = response
	}
	all["default"] = object{
		"description": "An error, see RFC 9457", "content": d.content("application/problem+json", reflect.TypeFor[problem]()),
	}
	for _, status := range errorsOf(r) {
		all[strconv.Itoa(status)] = object{
			"description": http.StatusText(status), "content": d.content("application/problem+json", reflect.TypeFor[problem]()),
		}
	}
	return all
}

// errorsOf returns the statuses of the errors that callers of a route had better expect.
func errorsOf(r *route) []int {
	all := []int{http.StatusUnauthorized, http.StatusForbidden}
	if strings.Contains(r.path, "{") {
		all = append(all, http.StatusNotFound)
	}
	if r.matches || r.create {
		all = append(all, http.StatusPreconditionFailed)
	}
	if r.body != nil {
		all = append(all, http.StatusUnprocessableEntity)
	}
	return all
}

func (d *describing) content(contentType string, t reflect.Type) object {
	return object{contentType: object{"schema": d.schema(t)}}
}

// schema returns the schema of a type; that of a struct is one of the components.
func (d *describing) schema(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[time.Duration]():
		return object{"type": "string", "examples": []any{"720h"}}
	case t == reflect.TypeFor[config.Section](), t == reflect.TypeFor[json.RawMessage]():
		return object{"type": "object", "additionalProperties": true}
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()), isText(t):
		return object{"type": "string"}
	}
	switch t.Kind() { //nolint:exhaustive // the others are shown as text
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		name := nameOf(t)
		if _, known := d.schemas[name]; !known {
			d.schemas[name] = nil // it may hold itself
			d.schemas[name] = d.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{"type": "string"}
}

// isText reports whether a type is bytes that JSON has as text, such as a hash.
func isText(t reflect.Type) bool {
	return t.Kind() == reflect.String || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// nameOf returns the name of a schema: Client for clientBody, ClientPage for a page of these.
func nameOf(t reflect.Type) string {
	name := t.Name()
	if strings.HasPrefix(name, "page[") {
		items, _ := t.FieldByName("Items")
		return nameOf(items.Type.Elem()) + "Page"
	}
	name = strings.TrimSuffix(name, "Body")
	return strings.ToUpper(name[:1]) + name[1:]
}

func (d *describing) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, m := range members(t) {
		p := d.schema(m.Type)
		text := descriptions[nameOf(t)+"."+m.key]
		if text == "" {
			text = descriptions[m.key]
		}
		if text = cmp.Or(text, m.key); text != m.key {
			p = with(p, "description", text)
		}
		if m.readOnly {
			p = with(p, "readOnly", true)
		}
		if m.secret {
			p = with(p, "writeOnly", m.Tag.Get("secret") == "new" || m.key == "hash")
			if p["writeOnly"] == false {
				delete(p, "writeOnly")
			}
		}
		properties[m.key] = p
		if m.required {
			required = append(required, m.key)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func with(schema object, name string, value any) object {
	schema[name] = value
	return schema
}
