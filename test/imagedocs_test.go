package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// imageName is what docs/container.md calls the image.
const imageName = "registry.example.com/dex:v1.0.0"

func containerPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs", "container.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// blocks returns the code of a language on a page.
func blocks(page, language string) (found []string) {
	for _, block := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(page, -1) {
		found = append(found, block[1])
	}
	return found
}

// TestContainerPage does what docs/container.md says, with a container in place of an engine's.
func TestContainerPage(t *testing.T) {
	t.Parallel()
	page := containerPage(t)
	templates := blocks(page, "yml")
	if len(templates) != 2 {
		t.Fatalf("%d blocks of yml", len(templates))
	}
	t.Run("variables", func(t *testing.T) { checkVariables(t, page) })
	t.Run("S2-15: the compose file", func(t *testing.T) { runCompose(t, templates[0]) })
	t.Run("S2-15: docker run", func(t *testing.T) {
		t.Parallel()
		commands := 0
		for _, block := range blocks(page, "sh") {
			for line := range strings.Lines(block) {
				if strings.HasPrefix(line, "docker run") {
					commands++
					runDocker(t, line, templates[1])
				}
			}
		}
		if commands != 3 {
			t.Errorf("%d commands", commands)
		}
	})
	t.Run("S1-78: the Dockerfile", func(t *testing.T) {
		const want = "FROM " + imageName + "\nENV DEX_FRONTEND_DIR=/srv/dex/web\nCOPY --chown=root:root web /srv/dex/web\n"
		if found := blocks(page, "dockerfile"); len(found) != 1 || found[0] != want { // testImagePages does the same
			t.Errorf("%q", found)
		}
	})
}

// checkVariables compares the page's table with what the image's configuration reads.
func checkVariables(t *testing.T, page string) {
	configuration, err := os.ReadFile(filepath.Join(readImage(t).folder, "etc/dex/config.docker.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]string{}
	for _, found := range regexp.MustCompile(`getenv "(DEX_[A-Z0-9_]+)"(?: "([^"]*)")?`).FindAllStringSubmatch(string(configuration), -1) {
		read[found[1]] = max(read[found[1]], found[2])
	}
	_, table, _ := strings.Cut(page, "\n## Variables\n")
	table, _, _ = strings.Cut(table, "\n## ")
	named := map[string]bool{}
	for line := range strings.Lines(table) {
		for _, name := range regexp.MustCompile("`(DEX_[A-Z0-9_]+)`").FindAllStringSubmatch(line, -1) {
			named[name[1]] = true
		}
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		name := strings.Trim(cells[1], " `")
		if byDefault := read[name]; byDefault != "" && strings.Trim(cells[2], " `") != byDefault {
			t.Errorf("the default of %s is %s", name, byDefault)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if !named[name] {
			t.Errorf("%s is not on the page", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("%s is on the page only", name)
	}
}

// runCompose runs the compose file's container with its settings, until its health check says that it is well.
func runCompose(t *testing.T, text string) {
	t.Parallel()
	type secret struct {
		File string `yaml:"file"`
	}
	var file struct {
		Services map[string]struct {
			Image       string            `yaml:"image"`
			Ports       []string          `yaml:"ports"`
			Environment map[string]string `yaml:"environment"`
			Secrets     []string          `yaml:"secrets"`
			Volumes     []string          `yaml:"volumes"`
			ReadOnly    bool              `yaml:"read_only"`
			CapDrop     []string          `yaml:"cap_drop"`
			SecurityOpt []string          `yaml:"security_opt"`
			Healthcheck struct {
				Test     []string `yaml:"test"`
				Interval string   `yaml:"interval"`
			} `yaml:"healthcheck"`
			Restart string `yaml:"restart"`
		} `yaml:"services"`
		Secrets map[string]secret   `yaml:"secrets"`
		Volumes map[string]struct{} `yaml:"volumes"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	service := file.Services["dex"]
	c := newContainer(t)
	contents := map[string]string{"client": "0123456789abcdef0123456789abcdef\n", "hash": hashed(t, c)}
	for _, name := range service.Secrets {
		c.put(t, "/run/secrets/"+name, contents[file.Secrets[name].File])
	}
	var environ []string
	for name, value := range service.Environment {
		environ = append(environ, name+"="+value)
	}
	if service.Image != imageName || !service.ReadOnly || service.Healthcheck.Test[0] != "CMD" || service.Volumes[0] != "data:/var/dex" {
		t.Errorf("%+v", service)
	}
	p := startCommand(t, "dex", c.command(true, environ, c.entry()...))
	c.waitWell(t, p, environ, service.Healthcheck.Test[1:])
	for _, want := range []string{"client_name=example-app", "listening on"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, p.log)
		}
	}
	o := c.run(t, environ, c.entry("dex", "check", "/etc/dex/config.docker.yaml")...)
	if o.status != 0 || o.stdout != "The configuration can be used.\n" {
		t.Errorf("%+v", o)
	}
}

// hashed is what the page's command for a password's hash prints.
func hashed(t *testing.T, c *container) string {
	t.Helper()
	cmd := c.command(false, nil, c.entry("dex", "hash-password")...)
	cmd.Stdin = strings.NewReader("a password that is long\n")
	out, err := cmd.Output()
	if err != nil || !bytes.HasPrefix(out, []byte("$2a$")) {
		t.Fatalf("%s %v", out, err)
	}
	return string(out)
}

// waitWell waits until a command in the container ends with 0.
func (c *container) waitWell(t *testing.T, p *process, environ, check []string) {
	t.Helper()
	eventually(t, patience, "the server is well", func() bool {
		if !p.running() {
			t.Fatalf("it has ended:\n%s", p.log)
		}
		return c.join(t, p, environ, check...).status == 0
	})
}

// join runs a command in the namespaces of a container that runs.
func (c *container) join(t *testing.T, p *process, environ []string, args ...string) outcome {
	t.Helper()
	namespaces := []string{"--target", fmt.Sprint(p.cmd.Process.Pid), "--mount", "--net"}
	if os.Geteuid() != 0 {
		namespaces = append(namespaces, "--user", "--preserve-credentials")
	}
	return finished(t, exec.CommandContext(t.Context(), "nsenter", append(namespaces, c.inside(environ, args...)...)...))
}

// runDocker runs the container of a command line of docker run, until it is well.
func runDocker(t *testing.T, line, configuration string) {
	words := strings.Fields(strings.ReplaceAll(line, `"`, ""))[2:]
	c := newContainer(t)
	c.put(t, "/etc/dex/dex.yaml", configuration)
	var environ []string
	for len(words) > 0 && words[0] != imageName {
		switch flag, value := words[0], words[1]; flag {
		case "--rm", "--read-only":
			words = words[1:]
			continue
		case "-e":
			environ = append(environ, value)
		case "-v":
			if value != "data:/var/dex" && value != "$PWD/dex.yaml:/etc/dex/dex.yaml:ro" {
				t.Errorf("the volume %s", value)
			}
		case "-p", "--cap-drop", "--security-opt":
		default:
			t.Errorf("the flag %s", flag)
		}
		words = words[2:]
	}
	if len(words) == 0 {
		t.Fatalf("no image in %s", line)
	}
	command, file := words[1:], "/etc/dex/config.docker.yaml"
	if len(command) == 0 {
		command = c.config.Config.Cmd
	} else {
		file = command[len(command)-1]
	}
	p := startCommand(t, "dex", c.command(true, environ, c.entry(command...)...))
	c.waitWell(t, p, environ, []string{"docker-entrypoint", "dex", "healthcheck", file})
	p.stop(t)
}
