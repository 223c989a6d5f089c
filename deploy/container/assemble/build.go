package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// authorities is the only file that is taken from this machine instead of a stage.
const authorities = "/etc/ssl/certs/ca-certificates.crt"

// A build makes the image for one platform.
type build struct {
	settings
	platform *v1.Platform
	work     string // a folder
	stages   map[string]*stage

	layers []mutate.Addendum
}

// A stage is one before the last, after its commands have run.
type stage struct {
	folder  string // stands for its working folder
	workdir string // as the Dockerfile calls it
}

// context returns the folder with the repository's files.
func (b *build) context() string { return filepath.Join(b.work, "context") }

func (b *build) run(ctx context.Context, r *recipe) (v1.Image, error) {
	b.stages = map[string]*stage{}
	given := map[string]string{
		"TARGETPLATFORM": b.platform.String(), "TARGETOS": b.platform.OS, "TARGETARCH": b.platform.Architecture,
		"TARGETVARIANT": b.platform.Variant,
	}
	for name, value := range b.arguments {
		given[name] = value
	}
	last := len(r.stages) - 1
	for _, s := range r.stages[:last] {
		if err := b.runStage(ctx, s, given); err != nil {
			return nil, err
		}
	}
	return b.assemble(r.stages[last], given)
}

// runStage runs the commands of a stage on this machine.
func (b *build) runStage(ctx context.Context, recipe instructions.Stage, given map[string]string) error {
	s := &stage{folder: filepath.Join(b.work, "stage-"+recipe.Name), workdir: "/"}
	b.stages[recipe.Name] = s
	if err := os.MkdirAll(s.folder, 0o750); err != nil {
		return err
	}
	vars := variables{}
	for _, command := range recipe.Commands {
		var err error
		switch c := command.(type) {
		case *instructions.ArgCommand:
			err = vars.declare(c.Args, given)
		case *instructions.WorkdirCommand:
			s.workdir = path.Clean(c.Path)
		case *instructions.CopyCommand:
			if c.From != "" || len(c.SourcePaths) != 1 || c.SourcePaths[0] != "." || c.DestPath != "." {
				return fmt.Errorf("%s: in this stage only COPY . . is known", c)
			}
			err = os.CopyFS(s.folder, os.DirFS(b.context()))
		case *instructions.RunCommand:
			err = s.runCommand(ctx, c, vars)
		default:
			err = fmt.Errorf("the instruction %s is not known", c.Name())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) runCommand(ctx context.Context, c *instructions.RunCommand, vars variables) error {
	if !c.PrependShell {
		return errors.New("only RUN with a shell is known")
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", strings.Join(c.CmdLine, " ")) //nolint:gosec // the recipe's, from the repository
	cmd.Dir, cmd.Env = s.folder, os.Environ()
	for name, value := range vars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.CmdLine, " "), err, out)
	}
	return nil
}

// assemble follows the last stage.
func (b *build) assemble(recipe instructions.Stage, given map[string]string) (v1.Image, error) {
	config := &v1.ConfigFile{
		OS: b.platform.OS, Architecture: b.platform.Architecture, Variant: b.platform.Variant,
		Created: v1.Time{Time: b.time}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Labels: map[string]string{}, WorkingDir: "/"},
	}
	vars := variables{}
	for _, command := range recipe.Commands {
		if err := b.follow(command, &config.Config, vars, given); err != nil {
			return nil, err
		}
	}
	image, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), config)
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, b.layers...)
}

// follow does one instruction of the last stage.
func (b *build) follow(command instructions.Command, config *v1.Config, vars variables, given map[string]string) error {
	switch c := command.(type) {
	case *instructions.ArgCommand:
		return vars.declare(c.Args, given)
	case *instructions.EnvCommand:
		return eachPair(c.Env, vars, func(name, value string) {
			config.Env = append(config.Env, name+"="+value)
			vars[name] = value
		})
	case *instructions.LabelCommand:
		return eachPair(c.Labels, vars, func(name, value string) { config.Labels[name] = value })
	case *instructions.CopyCommand:
		return b.copy(c)
	case *instructions.UserCommand:
		config.User = c.User
	case *instructions.EntrypointCommand:
		if c.PrependShell {
			return errors.New("ENTRYPOINT needs a shell, and the image has none")
		}
		config.Entrypoint = c.CmdLine
	case *instructions.CmdCommand:
		if c.PrependShell {
			return errors.New("CMD needs a shell, and the image has none")
		}
		config.Cmd = c.CmdLine
	default:
		return fmt.Errorf("the instruction %s is not known in the last stage", c.Name())
	}
	return nil
}

func eachPair(pairs instructions.KeyValuePairs, vars variables, set func(name, value string)) error {
	for _, pair := range pairs {
		value, err := vars.expand(pair.Value)
		if err != nil {
			return err
		}
		set(pair.Key, value)
	}
	return nil
}

// copy makes a layer of what one COPY copies.
func (b *build) copy(c *instructions.CopyCommand) error {
	if c.Chmod != "" || len(c.SourceContents) > 0 || len(c.ExcludePatterns) > 0 || c.Parents {
		return fmt.Errorf("%s: these flags are not known", c)
	}
	l := &layer{time: b.time}
	if err := l.setOwner(c.Chown); err != nil {
		return err
	}
	for _, source := range c.SourcePaths {
		file, err := b.source(c.From, source)
		if err != nil {
			return err
		}
		if err := l.add(file, c.DestPath); err != nil {
			return err
		}
	}
	made, err := l.make(filepath.Join(b.work, fmt.Sprintf("layer-%d.tar", len(b.layers))))
	if err != nil {
		return err
	}
	b.layers = append(b.layers, mutate.Addendum{
		Layer: made, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: b.time}, CreatedBy: c.String()},
	})
	return nil
}

// source returns the file or folder that a COPY means.
func (b *build) source(from, name string) (string, error) {
	if from == "" {
		return filepath.Join(b.context(), name), nil
	}
	s := b.stages[from]
	if s == nil {
		return "", fmt.Errorf("there is no stage %s", from)
	}
	if below, ok := strings.CutPrefix(path.Clean(name), strings.TrimSuffix(s.workdir, "/")+"/"); ok {
		return filepath.Join(s.folder, below), nil
	}
	if name == authorities {
		return name, nil
	}
	return "", fmt.Errorf("%s is not below %s, the working folder of stage %s", name, s.workdir, from)
}
