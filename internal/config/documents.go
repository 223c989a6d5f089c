package config

import (
	"bytes"
	"cmp"
	"errors"
	"io"

	"go.yaml.in/yaml/v4"
)

// Documents returns each YAML document of a file that is not the server's configuration, such as one with clients for the
// management API. References and variables in it are read as in the configuration, and unknown keys are errors.
func (s Source) Documents() ([]Section, Problems) {
	flags, found := readFlags(s.Env)
	loader, err := yaml.NewLoader(bytes.NewReader(s.Data))
	if err != nil {
		return nil, append(found, s.syntaxProblem(err))
	}
	var sections []Section
	for {
		var document yaml.Node
		if err := loader.Load(&document); errors.Is(err, io.EOF) {
			return sections, found
		} else if err != nil {
			return nil, append(found, s.syntaxProblem(err))
		}
		if len(document.Content) == 0 || isNull(document.Content[0]) {
			continue
		}
		sections = append(sections, Section{setting: rootSetting(document.Content[0]), reading: reading{
			file: s.Name, strict: true, env: s.Env, files: cmp.Or(s.Files, &Files{}), expand: flags.ExpandEnv, broken: map[string]bool{},
		}})
	}
}
