package configtemplate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// namespaces are called as in strings.ToUpper: each has its functions as methods. env, which needs the environment, is made
// with each template.
var namespaces = map[string]any{
	"base64":  base64Functions{},
	"coll":    collFunctions{},
	"conv":    convFunctions{},
	"data":    dataFunctions{},
	"env":     envFunctions{},
	"file":    fileFunctions{},
	"regexp":  regexpFunctions{},
	"strings": stringsFunctions{},
	"test":    testFunctions{},
}

// members are the names of the functions in each namespace. They stand here because a binary that lists a type's methods through
// reflect keeps every exported method of every type: six MiB of code that nothing calls.
var members = map[string][]string{
	"base64": {"Decode", "Encode"},
	"coll":   {"Dict", "Has", "Keys", "Slice"},
	"conv":   {"Bool", "Default", "Has", "Join", "Slice", "ToBool", "ToFloat64", "ToInt", "ToString"},
	"data":   {"JSON", "JSONArray", "ToJSON", "ToJSONPretty", "ToYAML", "YAML", "YAMLArray"},
	"env":    {"Env", "ExpandEnv", "Getenv", "HasEnv"},
	"file":   {"Exists", "Read"},
	"regexp": {"Match", "Replace"},
	"strings": {
		"Contains", "HasPrefix", "HasSuffix", "Indent", "Quote", "Repeat", "ReplaceAll", "Split", "SplitN", "Squote", "Title",
		"ToLower", "ToUpper", "Trim", "TrimLeft", "TrimPrefix", "TrimRight", "TrimSpace", "TrimSuffix", "Trunc",
	},
	"test": {"Fail", "Required", "Ternary"},
}

// alike are the functions of sprig, which people know from Helm, that don't clash with gomplate's. None of them makes anything
// random: a configuration that is rendered again must stay the same. sprig's b64dec isn't among them: for what isn't base64 it
// returns the text of an error, which everybody could guess in place of a secret.
var alike = []string{
	"b64enc", "coalesce", "empty", "list", "lower", "nindent", "splitList", "toJson", "toPrettyJson", "trimPrefix",
	"trimSuffix", "upper",
}

// functions returns what templates may call.
func functions(env environment) template.FuncMap {
	funcs := template.FuncMap{
		"b64dec":    base64Functions{}.Decode,
		"bool":      conv.ToBool,
		"default":   conv.Default,
		"dict":      coll.Dict,
		"fail":      test.Fail,
		"getenv":    env.get,
		"has":       coll.Has,
		"indent":    texts.Indent,
		"join":      conv.Join,
		"json":      data.JSON,
		"jsonArray": data.JSONArray,
		"keys":      coll.Keys,
		"quote":     texts.Quote,
		"repeat":    texts.Repeat,
		"required":  test.Required,
		"slice":     coll.Slice,
		"squote":    texts.Squote,
		"ternary":   test.Ternary,
		"title":     texts.Title,
		"toJSON":    data.ToJSON,
		"toLower":   texts.ToLower,
		"toString":  conv.ToString,
		"toUpper":   texts.ToUpper,
		"toYAML":    data.ToYAML,
		"trimSpace": texts.TrimSpace,
		"yaml":      data.YAML,
		"yamlArray": data.YAMLArray,

		"replaceAll": texts.ReplaceAll,

		// These have the text first, unlike the functions of the same names in strings.
		"contains":  func(in, part any) bool { return strings.Contains(text(in), text(part)) },
		"hasPrefix": func(in, prefix any) bool { return strings.HasPrefix(text(in), text(prefix)) },
		"hasSuffix": func(in, suffix any) bool { return strings.HasSuffix(text(in), text(suffix)) },
		"split":     func(in, separator any) []string { return strings.Split(text(in), text(separator)) },
		"splitN":    func(in, separator any, n int) []string { return strings.SplitN(text(in), text(separator), n) },
		"trim":      func(in, cutset any) string { return strings.Trim(text(in), text(cutset)) },
	}
	known := sprig.TxtFuncMap()
	for _, name := range alike {
		funcs[name] = known[name]
	}
	for space, value := range namespaces {
		funcs[space] = func() any { return value }
	}
	funcs["env"] = func() any { return envFunctions{env} }
	return funcs
}

// An environment has the process's variables.
type environment map[string]string

func newEnvironment(environ []string) environment {
	env := environment{}
	for _, variable := range environ {
		if name, value, ok := strings.Cut(variable, "="); ok {
			env[name] = value
		}
	}
	return env
}

// maxFile bounds a file that a template reads, in bytes.
const maxFile = 1 << 20

// get returns the value of a variable; if that is empty, the contents of the file that NAME_FILE names, which is how secrets are
// mounted; and else the default. A file that can't be read is an error: a default in its place may be a secret that everybody
// knows.
func (e environment) get(name string, byDefault ...any) (string, error) {
	if len(byDefault) > 1 {
		return "", errors.New("only one default can be given")
	}
	if value := e[name]; value != "" {
		return value, nil
	}
	if file := e[name+"_FILE"]; file != "" {
		contents, err := readFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_FILE: %w", name, err)
		}
		return strings.TrimSpace(contents), nil
	}
	if len(byDefault) == 1 {
		return text(byDefault[0]), nil
	}
	return "", nil
}

func readFile(name string) (string, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	contents, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(contents) > maxFile {
		return "", fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return string(contents), nil
}

// text returns a value as a template prints it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}

// items returns the elements of a list of any type.
func items(list any) ([]any, error) {
	v := reflect.ValueOf(list)
	if !v.IsValid() || v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return nil, errors.New("this needs a list")
	}
	elements := make([]any, v.Len())
	for i := range elements {
		elements[i] = v.Index(i).Interface()
	}
	return elements, nil
}
