package configtemplate

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v4"
)

// In these types, methods are functions of templates. What a function works on is its last argument, so that it can stand at the
// end of a pipeline. Errors don't quote values, which may be secrets.
type (
	base64Functions  struct{}
	collFunctions    struct{}
	convFunctions    struct{}
	dataFunctions    struct{}
	envFunctions     struct{ variables environment }
	fileFunctions    struct{}
	regexpFunctions  struct{}
	stringsFunctions struct{}
	testFunctions    struct{}
)

// Those that can be called without their namespace too.
var (
	coll  collFunctions
	conv  convFunctions
	data  dataFunctions
	texts stringsFunctions
	test  testFunctions
)

func (base64Functions) Encode(in any) string {
	return base64.StdEncoding.EncodeToString([]byte(text(in)))
}

func (base64Functions) Decode(in any) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text(in)))
	if err != nil {
		return "", errors.New("this is not base64")
	}
	return string(decoded), nil
}

func (collFunctions) Dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("a dict needs a value for each key")
	}
	dict := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		dict[text(pair[0])] = pair[1]
	}
	return dict, nil
}

func (collFunctions) Slice(elements ...any) []any { return elements }

// Has reports whether a list has a value, or a mapping a key.
func (collFunctions) Has(in, value any) (bool, error) {
	if m, ok := in.(map[string]any); ok {
		_, has := m[text(value)]
		return has, nil
	}
	if m, ok := in.(map[string]string); ok {
		_, has := m[text(value)]
		return has, nil
	}
	list, err := items(in)
	return slices.ContainsFunc(list, func(v any) bool { return reflect.DeepEqual(v, value) }), err
}

func (collFunctions) Keys(in any) ([]string, error) {
	switch m := in.(type) {
	case map[string]any:
		return slices.Sorted(maps.Keys(m)), nil
	case map[string]string:
		return slices.Sorted(maps.Keys(m)), nil
	}
	return nil, errors.New("this needs a mapping")
}

// ToBool takes what people write for true; everything else is false.
func (convFunctions) ToBool(in any) bool {
	switch strings.ToLower(text(in)) {
	case "true", "t", "yes", "y", "on", "1":
		return true
	}
	return false
}

func (c convFunctions) Bool(in any) bool { return c.ToBool(in) }

func (convFunctions) Default(byDefault, in any) any {
	if truth, ok := template.IsTrue(in); truth && ok {
		return in
	}
	return byDefault
}

func (convFunctions) ToString(in any) string { return text(in) }

func (convFunctions) ToInt(in any) (int, error) {
	number, err := strconv.Atoi(strings.TrimSpace(text(in)))
	if err != nil {
		return 0, errors.New("this is not a whole number")
	}
	return number, nil
}

func (convFunctions) ToFloat64(in any) (float64, error) {
	number, err := strconv.ParseFloat(strings.TrimSpace(text(in)), 64)
	if err != nil {
		return 0, errors.New("this is not a number")
	}
	return number, nil
}

func (convFunctions) Join(list, separator any) (string, error) {
	elements, err := items(list)
	if err != nil {
		return "", err
	}
	words := make([]string, len(elements))
	for i, e := range elements {
		words[i] = text(e)
	}
	return strings.Join(words, text(separator)), nil
}

func (convFunctions) Has(in, value any) (bool, error) { return coll.Has(in, value) }

func (convFunctions) Slice(elements ...any) []any { return elements }

func (dataFunctions) ToJSON(in any) (string, error) {
	out, err := json.Marshal(in)
	return string(out), err
}

func (dataFunctions) ToJSONPretty(indent string, in any) (string, error) {
	out, err := json.MarshalIndent(in, "", indent)
	return string(out), err
}

func (dataFunctions) ToYAML(in any) (string, error) {
	out, err := yaml.Marshal(in)
	return string(out), err
}

func (dataFunctions) JSON(in any) (m map[string]any, err error) {
	return m, decode("a JSON object", json.Unmarshal, in, &m)
}

func (dataFunctions) JSONArray(in any) (list []any, err error) {
	return list, decode("a JSON array", json.Unmarshal, in, &list)
}

func (dataFunctions) YAML(in any) (m map[string]any, err error) {
	return m, decode("a YAML mapping", fromYAML, in, &m)
}

func (dataFunctions) YAMLArray(in any) (list []any, err error) {
	return list, decode("a YAML list", fromYAML, in, &list)
}

func fromYAML(text []byte, into any) error { return yaml.Unmarshal(text, into) }

func decode(what string, unmarshal func([]byte, any) error, in, into any) error {
	if err := unmarshal([]byte(text(in)), into); err != nil {
		return fmt.Errorf("this is not %s", what)
	}
	return nil
}

func (e envFunctions) Getenv(name string, byDefault ...any) (string, error) {
	return e.variables.get(name, byDefault...)
}

func (e envFunctions) HasEnv(name string) bool {
	_, has := e.variables[name]
	return has
}

func (e envFunctions) ExpandEnv(in any) (string, error) {
	var failed error
	expanded := os.Expand(text(in), func(name string) string {
		value, err := e.variables.get(name)
		failed = errors.Join(failed, err)
		return value
	})
	return expanded, failed
}

func (e envFunctions) Env() map[string]string { return e.variables }

func (fileFunctions) Read(name string) (string, error) { return readFile(name) }

func (fileFunctions) Exists(name string) (bool, error) {
	_, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (regexpFunctions) Match(expression string, in any) (bool, error) {
	re, err := regexp.Compile(expression)
	return err == nil && re.MatchString(text(in)), err
}

func (regexpFunctions) Replace(expression, replacement string, in any) (string, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllString(text(in), replacement), nil
}

// Required returns the value, unless it is empty. The message may be left out.
func (testFunctions) Required(arguments ...any) (any, error) {
	message := "this value is required, and is empty"
	switch len(arguments) {
	case 1:
	case 2:
		message = text(arguments[0])
	default:
		return nil, errors.New("this needs a message and a value")
	}
	value := arguments[len(arguments)-1]
	if value == nil || value == "" {
		return nil, refusal(message)
	}
	return value, nil
}

// A refusal is what a template itself says is wrong.
type refusal string

func (r refusal) Error() string { return string(r) }

func (testFunctions) Fail(message ...any) (string, error) {
	if len(message) == 0 {
		return "", refusal("the template has given up")
	}
	return "", refusal(text(message[0]))
}

func (testFunctions) Ternary(ifTrue, ifFalse, condition any) any {
	if conv.ToBool(condition) {
		return ifTrue
	}
	return ifFalse
}
