package remote

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"dex/internal/config"
)

// The environment variables.
const (
	envServer    = "DEX_API_SERVER"
	envCA        = "DEX_API_CA"
	envCert      = "DEX_API_CERT"
	envKey       = "DEX_API_KEY"
	envToken     = "DEX_API_TOKEN"      //nolint:gosec // G101: its name
	envTokenFile = "DEX_API_TOKEN_FILE" //nolint:gosec // G101: likewise
	envConfig    = "DEX_API_CONFIG"
)

// Settings say which server to call, and as whom. The tags are the keys of the file.
type Settings struct {
	Server    string `key:"server"` // http:// or https://, or unix:// with a path
	CA        string `key:"ca"`     // files, all four
	Cert      string `key:"cert"`
	Key       string `key:"key"`
	TokenFile string `key:"tokenFile"`
	Token     string `key:"token"`
}

// A SettingsError says what is wrong with the settings.
type SettingsError struct{ message string }

func (e *SettingsError) Error() string { return e.message }

func badSetting(format string, args ...any) error {
	return &SettingsError{fmt.Sprintf(format, args...)}
}

// Resolve completes the settings of the command line from the environment, and then from the user's file. What the file says of
// credentials is for the server that it names: another one doesn't get them.
func Resolve(flags Settings, env config.Environment) (Settings, error) {
	given := flags.over(Settings{
		Server: lookup(env, envServer), CA: lookup(env, envCA), Cert: lookup(env, envCert), Key: lookup(env, envKey),
		Token: lookup(env, envToken), TokenFile: lookup(env, envTokenFile),
	})
	name, asked := settingsFile(env)
	if name != "" {
		file, err := readSettings(name, asked)
		if err != nil {
			return Settings{}, err
		}
		if given.Server == "" || given.Server == file.Server {
			given = given.over(file)
		}
	}
	if given.Server == "" {
		return Settings{}, badSetting("no server is given: use --server, or %s, or server: in %s; for example https://dex.example.com:5558 or "+
			"unix:///run/dex/api.sock", envServer, cmp.Or(name, "~/.config/dex/config.yaml"))
	}
	return given, nil
}

func lookup(env config.Environment, name string) string {
	value, _ := env(name)
	return value
}

// over returns settings with those of another source where they have none. A certificate and its key, and the two ways to give a
// token, are each taken from one source.
func (s Settings) over(other Settings) Settings {
	s.Server, s.CA = cmp.Or(s.Server, other.Server), cmp.Or(s.CA, other.CA)
	if s.Cert == "" && s.Key == "" {
		s.Cert, s.Key = other.Cert, other.Key
	}
	if s.Token == "" && s.TokenFile == "" {
		s.Token, s.TokenFile = other.Token, other.TokenFile
	}
	return s
}

// settingsFile returns the user's file, and whether it was asked for, so that it must be there.
func settingsFile(env config.Environment) (name string, asked bool) {
	if name := lookup(env, envConfig); name != "" {
		return name, true
	}
	if dir := lookup(env, "XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "dex", "config.yaml"), false
	}
	if home := lookup(env, "HOME"); home != "" {
		return filepath.Join(home, ".config", "dex", "config.yaml"), false
	}
	return "", false
}

func readSettings(name string, asked bool) (Settings, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return Settings{}, nil
	}
	if err != nil {
		return Settings{}, badSetting("the settings of dex can't be read: %v", err)
	}
	data, err := readSmall(name)
	if err != nil {
		return Settings{}, badSetting("the settings of dex can't be read: %v", err)
	}
	sections, found := config.Source{Name: name, Data: data}.Documents()
	var s Settings
	for _, section := range sections {
		found = append(found, section.Decode(&s)...)
	}
	if err := found.Err(); err != nil {
		return Settings{}, badSetting("%v", err)
	}
	if len(sections) > 1 {
		return Settings{}, badSetting("%s has more than one YAML document", name)
	}
	if mode := info.Mode().Perm(); s.Token != "" && mode&0o077 != 0 {
		return Settings{}, badSetting("others may read %s, which holds a token (its mode is %04o): run chmod 600 on it, and replace the token",
			name, mode)
	} else if mode&0o022 != 0 {
		return Settings{}, badSetting("others may write to %s (its mode is %04o): run chmod 600 on it", name, mode)
	}
	s.relativeTo(filepath.Dir(name))
	return s, nil
}

// relativeTo has paths in the file count from its folder.
func (s *Settings) relativeTo(dir string) {
	for _, path := range []*string{&s.CA, &s.Cert, &s.Key, &s.TokenFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// address returns what paths of the API are appended to, and the socket if it is one.
func (s Settings) address() (root, socket string, err error) {
	if path, ok := config.UnixSocket(s.Server); ok {
		if !filepath.IsAbs(path) {
			return "", "", badSetting("the server %q must have an absolute path, as in unix:///run/dex/api.sock", s.Server)
		}
		return "http://localhost" + base, path, nil
	}
	u, err := url.Parse(s.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", badSetting("the server must be an address such as https://dex.example.com:5558, or unix:///run/dex/api.sock")
	}
	return strings.TrimSuffix(strings.TrimSuffix(s.Server, "/"), base) + base, "", nil
}

// token returns the bearer token; empty for none.
func (s Settings) token() (string, error) {
	token := s.Token
	switch {
	case s.Token != "" && s.TokenFile != "":
		return "", badSetting("a token and a file with one are given; leave one out")
	case s.TokenFile != "":
		text, err := readSmall(s.TokenFile)
		if err != nil {
			return "", badSetting("the token can't be read: %v", err)
		}
		token = string(text)
	}
	token = strings.TrimSpace(token)
	if s.TokenFile != "" && token == "" {
		return "", badSetting("%s is empty, and should hold a token", s.TokenFile)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", badSetting("what is given as the token is none: it has spaces or line breaks in it")
	}
	return token, nil
}
