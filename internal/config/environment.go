package config

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
)

// An Environment looks up environment variables. A nil Environment has none.
type Environment func(name string) (value string, ok bool)

// OS is the process's environment.
var OS Environment = os.LookupEnv

func (e Environment) lookup(name string) (value string, ok bool) {
	if e == nil {
		return "", false
	}
	return e(name)
}

// require returns the value of a variable that must be set. An empty one is an error like one that isn't set: with an empty
// secret anybody could pass for the application. The name is not quoted unless it can be one, because it may be the secret
// itself in the wrong place.
func (e Environment) require(name string) (string, error) {
	if !variableName.MatchString(name) {
		return "", errors.New("must be the name of an environment variable: letters, digits and underscores")
	}
	value, _ := e.lookup(name)
	if value == "" {
		return "", fmt.Errorf("the environment variable %s is not set or is empty; it must hold the value", name)
	}
	return value, nil
}

// What problems have in place of a file name if they aren't in a file.
const (
	inEnvironment = "environment"
	onCommandLine = "command line"
)

// frontendDirVariable is the default of frontend.dir.
const frontendDirVariable = "DEX_FRONTEND_DIR"

// readFlags reads the feature flags. A value that isn't a boolean means the default, as it always did, but with a warning.
func readFlags(env Environment) (Flags, Problems) {
	var f Flags
	var found Problems
	for _, flag := range []struct {
		name      string
		target    *bool
		byDefault bool
	}{
		{"DEX_EXPAND_ENV", &f.ExpandEnv, true},
		{"DEX_CONTINUE_ON_CONNECTOR_FAILURE", &f.ContinueOnConnectorFailure, true},
		{"DEX_API_CONNECTORS_CRUD", &f.APIConnectorsCRUD, false},
		{"DEX_ENT_ENABLED", &f.Ent, false},
		{"DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS", &f.DisallowUnknownFields, false},
		{"DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT", &f.ClientCredentialsByDefault, false},
		{"DEX_SESSIONS_ENABLED", &f.Sessions, false},
		{"DEX_API_SESSIONS_IDENTITIES_CRUD", &f.APISessionsAndIdentitiesCRUD, false},
	} {
		*flag.target = flag.byDefault
		word, _ := env.lookup(flag.name)
		if word == "" {
			continue
		}
		on, err := strconv.ParseBool(word)
		if err != nil {
			found = append(found, Problem{File: inEnvironment, Key: flag.name, Warning: true, Message: fmt.Sprintf(
				"%q is not one of true, True, TRUE, t, T, 1, false, False, FALSE, f, F and 0, so the default %t is used",
				word, flag.byDefault)})
			continue
		}
		*flag.target = on
	}
	return f, found
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
