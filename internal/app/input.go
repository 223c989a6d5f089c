package app

import (
	"errors"
	"fmt"
	"io"
	"os"

	"dex/internal/config"
)

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 16 << 20

// StandardInput stands for a configuration that is read from standard input.
const StandardInput = "-"

// An Input is where a configuration comes from. It can be read again and again, except for standard input.
type Input struct {
	File      string    // or StandardInput
	Stdin     io.Reader // for StandardInput
	Overrides config.Overrides
	// SkipFiles leaves out the texts of settings that are in files, for machines that don't have them. Such a configuration can be
	// checked and must not be served.
	SkipFiles bool
}

// A Reading is what an Input was found to be.
type Reading struct {
	Plan     *Plan // nil if the server can't start with it
	Problems config.Problems
	Files    config.State // what the files that were read were like
}

// Read reads and checks the configuration. An error says that the file itself can't be read; the reading has its state even then.
func (in Input) Read() (Reading, error) {
	src, err := in.Source()
	state := func() config.State { return src.Files.State() }
	if invalid, ok := errors.AsType[*config.InvalidError](err); ok {
		return Reading{Problems: invalid.Problems, Files: state()}, nil
	}
	if err != nil {
		return Reading{Files: state()}, err
	}
	plan, problems := Check(src)
	if plan != nil {
		plan.nameFiles(src.Files)
		plan.files = state()
	}
	return Reading{Plan: plan, Problems: problems, Files: state()}, nil
}

// Source returns the configuration as it is written, or what its template becomes. A mistake in a template is a
// *config.InvalidError. The source has its Files even after an error.
func (in Input) Source() (config.Source, error) {
	src := config.Source{Name: in.File, Env: config.OS, Files: config.NewFiles(), Overrides: in.Overrides}
	if in.SkipFiles {
		src.Files = config.SkipFiles()
	}
	if in.File == StandardInput {
		src.Name = "<stdin>"
	}
	var err error
	if src.Data, err = in.text(src.Files); err != nil {
		return src, fmt.Errorf("read configuration: %w", err)
	}
	if template, err := isTemplate(in.File); err != nil || !template {
		return src, err
	}
	return rendered(src)
}

func (in Input) text(files *config.Files) ([]byte, error) {
	if in.File == StandardInput {
		return readAll(in.Stdin)
	}
	info, err := os.Stat(in.File)
	if err != nil || info.Mode().IsRegular() || info.IsDir() {
		return files.Read(in.File, maxConfig)
	}
	pipe, err := os.Open(in.File) // such as /dev/fd/63 of a shell
	if err != nil {
		return nil, err
	}
	defer pipe.Close() //nolint:errcheck // nothing was written
	return readAll(pipe)
}

func readAll(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("it is larger than %d bytes", maxConfig)
	}
	return data, err
}
