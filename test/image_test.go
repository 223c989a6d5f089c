package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/buildinfo"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// imageRevision is what the image's label says of the commit that it was built from.
const imageRevision = "0123456789abcdef"

// assemble builds an image for this machine from the Dockerfile in a copy of the repository, and returns the layout's folder.
func assemble(repository, folder string, more ...string) (string, error) {
	tool := filepath.Join(folder, "assemble")
	if err := goBuild(filepath.Join("..", "deploy", "container", "assemble"), "CGO_ENABLED=0", "-trimpath", "-o", tool, "."); err != nil {
		return "", err
	}
	out := filepath.Join(folder, "layout")
	cmd := exec.Command(tool, append([]string{"-C", repository, "-o", out, "-tag", releaseVersion, "-build-arg", "VERSION=" + releaseVersion,
		"-build-arg", "REVISION=" + imageRevision, "-platforms", "linux/" + runtime.GOARCH}, more...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(text))
	}
	return out, nil
}

// An ociImage is what the layout has for one platform.
type ociImage struct {
	v1.Image
	config *v1.ConfigFile
	folder string // its files
	files  map[string]*tar.Header
}

// builtImage is the image, built once. Its folder goes with the programs under test.
var builtImage = sync.OnceValues(func() (*ociImage, error) {
	folder := filepath.Join(filepath.Dir(binaries.release), "image")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	path, err := assemble(repository, folder)
	if err != nil {
		return nil, err
	}
	images, err := readLayout(path, releaseVersion)
	if err != nil {
		return nil, err
	}
	i := images["linux/"+runtime.GOARCH]
	if i == nil {
		return nil, errors.New("the layout doesn't have this machine's platform")
	}
	return i, i.unpack(filepath.Join(folder, "root"))
})

func readImage(t *testing.T) *ociImage {
	t.Helper()
	i, err := builtImage()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// readLayout reads an image layout back, checks all digests and sizes in it, and returns its images by their platforms.
func readLayout(folder, tag string) (map[string]*ociImage, error) {
	outer, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, err
	}
	entries, err := outer.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(entries.Manifests) != 1 || entries.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != tag {
		return nil, errors.New("the layout doesn't have one entry with the image's tag")
	}
	index, err := outer.ImageIndex(entries.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	if err := validate.Index(index); err != nil {
		return nil, err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	images := map[string]*ociImage{}
	for _, entry := range list.Manifests {
		if entry.MediaType != types.OCIManifestSchema1 {
			return nil, errors.New("a media type that is not OCI's: " + string(entry.MediaType))
		}
		found, err := index.Image(entry.Digest)
		if err != nil {
			return nil, err
		}
		config, err := found.ConfigFile()
		if err != nil {
			return nil, err
		}
		if platform := config.Platform(); platform.String() != entry.Platform.String() {
			return nil, errors.New("an image for " + platform.String() + " stands as one for " + entry.Platform.String())
		}
		images[entry.Platform.String()] = &ociImage{Image: found, config: config}
	}
	return images, nil
}

// unpack writes the image's files to a folder, as an engine would.
func (i *ociImage) unpack(folder string) error {
	i.folder, i.files = folder, map[string]*tar.Header{}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	all := mutate.Extract(i.Image)
	defer all.Close() //nolint:errcheck // only read from
	for archive := tar.NewReader(all); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		i.files["/"+strings.TrimSuffix(header.Name, "/")] = header
		name := filepath.Join(folder, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o755)
		} else {
			err = writeAll(name, archive, header.FileInfo().Mode())
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Lchown(name, header.Uid, header.Gid)
		}
		if err != nil {
			return err
		}
	}
}

func writeAll(name string, contents io.Reader, mode fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, contents)
	return errors.Join(err, file.Chmod(mode), file.Close())
}

// TestImage looks at what the image says and has.
func TestImage(t *testing.T) {
	t.Parallel()
	i := readImage(t)
	t.Run("settings", i.testSettings)
	t.Run("S2-19: no root, no shell, nothing that can be written", i.testFiles)
	t.Run("S2-19: the bill of materials names what is in the program", i.testMaterials)
	t.Run("authorities", func(t *testing.T) {
		pem, err := os.ReadFile(filepath.Join(i.folder, "etc/ssl/certs/ca-certificates.crt"))
		if err != nil {
			t.Fatal(err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) || bytes.Count(pem, []byte("BEGIN")) < 50 {
			t.Error("these are not the certificates of the authorities")
		}
	})
	t.Run("the pages are those that dex web export writes", func(t *testing.T) {
		exported := filepath.Join(t.TempDir(), "web")
		runDex(t, "", "web", "export", exported).want(t, 0)
		if out, err := exec.Command("diff", "-r", exported, filepath.Join(i.folder, "srv/dex/web")).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func (i *ociImage) testSettings(t *testing.T) {
	c := i.config.Config
	for _, setting := range []struct{ what, got, want string }{
		{"user", c.User, "1001:1001"},
		{"entry point", strings.Join(c.Entrypoint, " "), "/usr/local/bin/docker-entrypoint"},
		{"command", strings.Join(c.Cmd, " "), "dex serve /etc/dex/config.docker.yaml"},
		{"environment", strings.Join(c.Env, " "), "PATH=/usr/local/bin"},
		{"working folder", c.WorkingDir, "/"},
		{"version", c.Labels["org.opencontainers.image.version"], releaseVersion},
		{"revision", c.Labels["org.opencontainers.image.revision"], imageRevision},
		{"licence", c.Labels["org.opencontainers.image.licenses"], "Apache-2.0"},
		{"title", c.Labels["org.opencontainers.image.title"], "Dex"},
	} {
		if setting.got != setting.want {
			t.Errorf("%s %q, want %q", setting.what, setting.got, setting.want)
		}
	}
}

// testFiles compares the files, except the pages, with a list: what is not on it must not get into the image.
func (i *ociImage) testFiles(t *testing.T) {
	type attributes struct {
		mode fs.FileMode
		uid  int
	}
	want := map[string]attributes{
		"/etc/ssl/certs/ca-certificates.crt": {0o644, 0},
		"/etc/passwd":                        {0o644, 0},
		"/etc/group":                         {0o644, 0},
		"/etc/dex/config.docker.yaml":        {0o644, 0},
		"/usr/local/bin/dex":                 {0o755, 0},
		"/usr/local/bin/docker-entrypoint":   {0o755, 0},
		"/usr/local/share/sbom/dex.cdx.json": {0o644, 0},
		"/srv/dex/web/robots.txt":            {0o644, 0},
		"/var/dex":                           {0o755 | fs.ModeDir, 1001},
	}
	for name, header := range i.files {
		expected, listed := want[name]
		switch mode := header.FileInfo().Mode(); {
		case listed:
			if mode != expected.mode || header.Uid != expected.uid || header.Gid != expected.uid {
				t.Errorf("%s: %v of %d:%d, want %v of %d", name, mode, header.Uid, header.Gid, expected.mode, expected.uid)
			}
			delete(want, name)
		case mode.IsDir() || strings.HasPrefix(name, "/srv/dex/web/"):
			if mode.Perm()&0o022 != 0 || mode.Perm()&0o555 != 0o555 && mode.IsDir() || header.Uid != 0 || mode.IsRegular() && mode.Perm() != 0o644 {
				t.Errorf("%s: %v of %d", name, mode, header.Uid)
			}
		default:
			t.Errorf("%s is in the image", name)
		}
	}
	for _, missing := range slices.Sorted(maps.Keys(want)) {
		t.Errorf("%s is not in the image", missing)
	}
}

func (i *ociImage) testMaterials(t *testing.T) {
	file, err := os.Open(filepath.Join(i.folder, "usr/local/share/sbom/dex.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read from
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(file, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cdx.SpecVersion1_6 || bom.Metadata.Component.Name != "dex" || bom.Metadata.Component.Version != releaseVersion {
		t.Errorf("it describes %+v", bom.Metadata.Component)
	}
	info, err := buildinfo.ReadFile(filepath.Join(i.folder, "usr/local/bin/dex"))
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{"pkg:golang/stdlib@" + strings.TrimPrefix(info.GoVersion, "go"): true}
	for _, m := range info.Deps {
		linked["pkg:golang/"+m.Path+"@"+m.Version] = true
	}
	for _, c := range *bom.Components {
		if !linked[c.PackageURL] || c.Type != cdx.ComponentTypeLibrary {
			t.Errorf("%s is listed, and not linked", c.PackageURL)
		}
		delete(linked, c.PackageURL)
	}
	for missing := range linked {
		t.Errorf("%s is linked, and not listed", missing)
	}
}

// TestImageIsReproducible builds the image in another folder, by somebody with other settings: each byte must be the same.
func TestImageIsReproducible(t *testing.T) {
	t.Parallel()
	first, err := readImage(t).Digest()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "somewhere", "else")
	copyRepository(t, other)
	path, err := assemble(other, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	images, err := readLayout(path, releaseVersion)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := images["linux/"+runtime.GOARCH].Digest(); err != nil || second != first {
		t.Errorf("%s and %s (%v) are different", first, second, err)
	}
}

// copyRepository copies what git has or would have of the repository, readable by its owner only.
func copyRepository(t *testing.T, to string) {
	t.Helper()
	script := `mkdir -p "$1" && umask 077 && git ls-files -z --cached --others --exclude-standard |
		xargs -0 sh -c 'to=$0; for f; do [ ! -e "$f" ] || { mkdir -p "$to/$(dirname "$f")" && cp "$f" "$to/$f" || exit; }; done' "$1" && git init -q "$1"`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", to)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestImageOfSeveralPlatforms builds a small program for two kinds of processors.
func TestImageOfSeveralPlatforms(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module tiny\n",
		"main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
		"Dockerfile": `FROM --platform=$BUILDPLATFORM golang AS build
ARG TARGETARCH
ARG TARGETVARIANT
WORKDIR /src
COPY . .
RUN GOOS=linux GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} CGO_ENABLED=0 go build -o out/tiny .
FROM scratch
COPY --from=build /src/out/tiny /bin/tiny
`,
	} {
		writeFile(t, folder, name, text)
	}
	if out, err := exec.CommandContext(t.Context(), "git", "init", "-q", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	path, err := assemble(folder, t.TempDir(), "-f", "Dockerfile", "-platforms", "linux/amd64,linux/arm/v7")
	if err != nil {
		t.Fatal(err)
	}
	images, err := readLayout(path, releaseVersion)
	if err != nil {
		t.Fatal(err)
	}
	for platform, arch := range map[string]string{"linux/amd64": "amd64", "linux/arm/v7": "arm"} {
		i := images[platform]
		if i == nil {
			t.Fatalf("%s is missing", platform)
		}
		if err := i.unpack(filepath.Join(t.TempDir(), "root")); err != nil {
			t.Fatal(err)
		}
		info, err := buildinfo.ReadFile(filepath.Join(i.folder, "bin/tiny"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range info.Settings {
			if s.Key == "GOARCH" && s.Value != arch || s.Key == "GOARM" && s.Value != "7" {
				t.Errorf("%s has a program for %s=%s", platform, s.Key, s.Value)
			}
		}
	}
	for instruction, complaint := range map[string]string{
		"RUN echo":                        "the instruction RUN is not known in the last stage",
		"CMD echo":                        "needs a shell",
		"HEALTHCHECK NONE":                "is not known",
		"COPY --from=build /etc/shadow /": "is not below /src",
		"COPY nothing /":                  "no such file",
	} {
		text := "FROM golang AS build\nWORKDIR /src\nFROM scratch\n" + instruction + "\n"
		writeFile(t, folder, "Dockerfile", text)
		if _, err := assemble(folder, t.TempDir(), "-f", "Dockerfile"); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: error %v, want %q", instruction, err, complaint)
		}
	}
}
