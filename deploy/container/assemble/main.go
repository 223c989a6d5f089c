// Command assemble builds a container image from a Dockerfile without a container engine, for several platforms, as an OCI image
// layout. It knows what our Dockerfile uses, and refuses everything else:
//
//   - The commands of a stage before the last run on this machine, in a folder of their own that stands for the stage's working
//     folder. So the stage must name everything below that folder, and this machine must have what its base image has: here Go.
//   - The last stage begins from scratch and only copies. A file that it copies from another stage but not from its working folder
//     is this machine's; only the certificates of the authorities may come from there.
//
// The same source gives the same bytes: files are in order, and have the time that SOURCE_DATE_EPOCH says, or the first of 1970.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// settings are what the command line says.
type settings struct {
	repository, recipe, out, tag string
	platforms                    []*v1.Platform
	arguments                    map[string]string
	time                         time.Time
}

func main() {
	s, err := readFlags()
	if err == nil {
		err = s.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "assemble:", err)
		os.Exit(1)
	}
}

func readFlags() (settings, error) {
	s := settings{arguments: map[string]string{}}
	var platforms string
	flag.StringVar(&s.repository, "C", ".", "folder of the repository, whose files are what the Dockerfile copies")
	flag.StringVar(&s.recipe, "f", "deploy/container/Dockerfile", "the Dockerfile, seen from that folder")
	flag.StringVar(&s.out, "o", "", "folder of the image layout; it must be empty or not there")
	flag.StringVar(&s.tag, "tag", "latest", "name of the image in the layout")
	flag.StringVar(&platforms, "platforms", "linux/amd64", "platforms, such as linux/amd64,linux/arm/v7")
	flag.Func("build-arg", "NAME=VALUE of an ARG", func(argument string) error {
		name, value, ok := strings.Cut(argument, "=")
		if !ok {
			return errors.New("must be NAME=VALUE")
		}
		s.arguments[name] = value
		return nil
	})
	flag.Parse()
	if s.out == "" || flag.NArg() > 0 {
		return s, errors.New("give a folder by -o, and no arguments")
	}
	for name := range strings.SplitSeq(platforms, ",") {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return s, fmt.Errorf("platform %q: %w", name, err)
		}
		s.platforms = append(s.platforms, platform)
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		seconds = 0
	}
	s.time = time.Unix(seconds, 0).UTC()
	return s, nil
}

// run builds the image for each platform, and writes the layout.
func (s settings) run(ctx context.Context) error {
	if entries, err := os.ReadDir(s.out); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", s.out)
	}
	recipe, err := readRecipe(filepath.Join(s.repository, s.recipe))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "assemble-")
	if err != nil {
		return err
	}
	index, err := s.images(ctx, recipe, work)
	if err == nil {
		err = s.write(index) // reads the layers from the work folder
	}
	return errors.Join(err, os.RemoveAll(work))
}

func (s settings) images(ctx context.Context, r *recipe, work string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range s.platforms {
		b := &build{settings: s, platform: platform, work: filepath.Join(work, strings.ReplaceAll(platform.String(), "/", "-"))}
		if err := s.copyRepository(ctx, r, b.context()); err != nil {
			return nil, err
		}
		image, err := b.run(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index, nil
}

// write writes an index that has one entry, the index of all platforms, under its tag: so tools find it by name.
func (s settings) write(index v1.ImageIndex) error {
	path, err := layout.Write(s.out, empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	err = path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": s.tag}))
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Printf("%s has %s for %d platforms: %s\n", s.out, s.tag, len(s.platforms), digest)
	return nil
}

// copyRepository copies the files that git knows or would take in, as far as .dockerignore lets them: what was built in the repository, or lies around there, must not
// get into the image.
func (s settings) copyRepository(ctx context.Context, r *recipe, to string) error {
	git := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	git.Dir, git.Stderr = s.repository, os.Stderr
	out, err := git.Output()
	if err != nil {
		return fmt.Errorf("list the files of the repository: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		ignored, err := r.ignored.MatchesOrParentMatches(name)
		if err != nil {
			return err
		}
		if ignored {
			continue
		}
		err = copyFile(filepath.Join(s.repository, name), filepath.Join(to, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // removed, and not committed yet
			return err
		}
	}
	return nil
}
