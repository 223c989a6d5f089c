// Command protos generates the Go code of the management API from the files in the folder api.
//
//	go -C dev/protos run . ../..
//
// It needs no protoc: a compiler in Go reads the files, and the usual plugins write the code.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// files are the protos, by their names on the wire, which are their paths too.
var files = []string{"api/v2/api.proto", "api/dex/v1/admin.proto"}

// plugins are the tools of this module that write code.
var plugins = []string{"protoc-gen-go", "protoc-gen-go-grpc"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: protos FOLDER, where FOLDER is the root of the repository")
		os.Exit(2)
	}
	if err := generate(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "protos:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context, root string) error {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{root}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: files,
		Parameter:      proto.String("module=dex"),
		CompilerVersion: &pluginpb.Version{ // what the plugins are known to work with
			Major: proto.Int32(3), Minor: proto.Int32(21), Patch: proto.Int32(0),
		},
		ProtoFile: descriptors(compiled),
	}
	for _, plugin := range plugins {
		if err := run(ctx, root, plugin, request); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

// descriptors returns the files in an order in which each comes after those that it imports.
func descriptors(compiled linker.Files) []*descriptorpb.FileDescriptorProto {
	all := make([]*descriptorpb.FileDescriptorProto, 0, len(compiled))
	for _, f := range compiled {
		all = append(all, protoutil.ProtoFromFileDescriptor(f))
	}
	return all
}

// run has a plugin write its code below the root.
func run(ctx context.Context, root, plugin string, request *pluginpb.CodeGeneratorRequest) error {
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	tool := exec.CommandContext(ctx, "go", "tool", plugin)
	tool.Stdin, tool.Stderr = bytes.NewReader(in), os.Stderr
	out, err := tool.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, f := range response.File {
		path := filepath.Join(root, f.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(withoutVersions(f.GetContent())), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withoutVersions leaves out which compiler was used: there was none.
func withoutVersions(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if strings.HasPrefix(line, "// \tprotoc ") || strings.HasPrefix(line, "// - protoc ") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}
