package dev_test

import (
	"os"
	"regexp"
	"testing"
)

// The image is built with the release of Go that go.mod names: with another one it would have other bytes than the release.
func TestImageHasTheReleaseOfGo(t *testing.T) {
	version := func(file, pattern string) string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s names no release of Go", file)
		}
		return string(found[1])
	}
	image := version("../deploy/container/Dockerfile", `(?m)^ARG GO_VERSION=(.+)$`)
	module := version("../go.mod", `(?m)^go (.+)$`)
	tool := version("../deploy/container/assemble/go.mod", `(?m)^go (.+)$`)
	if image != module || tool != module {
		t.Errorf("the image has Go %s, its tool %s and go.mod %s", image, tool, module)
	}
}
