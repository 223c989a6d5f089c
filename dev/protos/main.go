// Command protos generates the Go code of the management API from the files in the folder api.
//
//	make protos
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

// An output is Go code for some of the files, in one Go module.
type output struct {
	files  []string // by their names on the wire, which are their paths too
	module string
	folder string // of the module
	where  string // import path and name of the package; empty where the file says
}

var outputs = []output{
	{files: []string{"api/v2/api.proto", "api/dex/v1/admin.proto"}, module: "dex", folder: "."},
	// A client has code of its own, made from the same file.
	{files: []string{"api/v2/api.proto"}, module: "dex/examples", folder: "examples", where: "dex/examples/grpc-client/dexapi;dexapi"},
}

// plugins are the tools of this module that write code.
var plugins = []string{"protoc-gen-go", "protoc-gen-go-grpc"}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: protos ROOT INTO, where ROOT has the folder api, and the code is written below INTO")
		os.Exit(2)
	}
	for _, o := range outputs {
		if err := o.generate(context.Background(), os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "protos:", err)
			os.Exit(1)
		}
	}
}

func (o output) generate(ctx context.Context, root, into string) error {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{root}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, o.files...)
	if err != nil {
		return err
	}
	parameters := "module=" + o.module
	if o.where != "" {
		for _, file := range o.files {
			parameters += ",M" + file + "=" + o.where
		}
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate:  o.files,
		Parameter:       &parameters,
		CompilerVersion: &pluginpb.Version{Major: proto.Int32(3), Minor: proto.Int32(21), Patch: proto.Int32(0)}, // what plugins know
		ProtoFile:       descriptors(compiled),
	}
	for _, plugin := range plugins {
		if err := run(ctx, filepath.Join(into, o.folder), plugin, request); err != nil {
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

// run has a plugin write its code below a folder.
func run(ctx context.Context, folder, plugin string, request *pluginpb.CodeGeneratorRequest) error {
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	tool := exec.CommandContext(ctx, "go", "tool", plugin) //nolint:gosec // G204: one of two
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
		path := filepath.Join(folder, f.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // G301: of source files
			return err
		}
		if err := os.WriteFile(path, []byte(withoutVersions(f.GetContent())), 0o644); err != nil { //nolint:gosec // G306: a source file
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
