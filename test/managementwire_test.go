package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A wire is the messages and the methods of api.Dex, as they are in managementapi/wire.txt: what clients have that were made before
// there was this server.
type wire struct {
	file  protoreflect.FileDescriptor
	lines []string // sorted
}

func readWire(t *testing.T) *wire {
	t.Helper()
	text, err := os.ReadFile("managementapi/wire.txt")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("old/api.proto"), Package: proto.String("api"), Syntax: proto.String("proto3"),
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Dex")}},
	}
	messages := map[string]*descriptorpb.DescriptorProto{}
	message := func(name string) *descriptorpb.DescriptorProto {
		if messages[name] == nil {
			messages[name] = &descriptorpb.DescriptorProto{Name: proto.String(name)}
			file.MessageType = append(file.MessageType, messages[name])
		}
		return messages[name]
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		w.lines = append(w.lines, strings.TrimSpace(line))
		switch words := strings.Fields(line); words[0] {
		case "rpc":
			file.Service[0].Method = append(file.Service[0].Method, &descriptorpb.MethodDescriptorProto{
				Name: proto.String(words[1]), InputType: proto.String(".api." + words[2]), OutputType: proto.String(".api." + words[3]),
			})
		case "message":
			message(words[1])
		case "field":
			addField(t, message(words[1]), words[2:])
		}
	}
	slices.Sort(w.lines)
	if w.file, err = protodesc.NewFile(file, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// addField adds a field: its number, its name, perhaps rep or opt, and its type.
func addField(t *testing.T, m *descriptorpb.DescriptorProto, words []string) {
	t.Helper()
	number, err := strconv.Atoi(words[0])
	if err != nil {
		t.Fatal(err)
	}
	f := &descriptorpb.FieldDescriptorProto{
		Name: proto.String(words[1]), Number: proto.Int32(int32(number)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	switch words[2] {
	case "rep":
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	case "opt":
		f.Proto3Optional, f.OneofIndex = proto.Bool(true), proto.Int32(int32(len(m.OneofDecl)))
		m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + words[1])})
	}
	kind := words[len(words)-1]
	if number, ok := descriptorpb.FieldDescriptorProto_Type_value["TYPE_"+strings.ToUpper(kind)]; ok {
		f.Type = descriptorpb.FieldDescriptorProto_Type(number).Enum()
	} else {
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".api."+kind)
	}
	m.Field = append(m.Field, f)
}

// call calls a method of api.Dex with a request in JSON, and returns the answer in JSON.
func (w *wire) call(ctx context.Context, conn *grpc.ClientConn, rpc, request string) (string, error) {
	m := w.file.Services().ByName("Dex").Methods().ByName(protoreflect.Name(rpc))
	in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if err := protojson.Unmarshal([]byte(request), in); err != nil {
		return "", fmt.Errorf("request %s: %w", request, err)
	}
	if err := conn.Invoke(ctx, "/api.Dex/"+rpc, in, out); err != nil {
		return "", err
	}
	text, err := protojson.Marshal(out)
	if err != nil {
		return "", err
	}
	var compact bytes.Buffer // spaces differ from build to build
	err = json.Compact(&compact, text)
	return compact.String(), err
}

// linesOf returns what a file says of the wire, in the form of wire.txt.
func linesOf(file protoreflect.FileDescriptor) (lines []string) {
	for i := range file.Services().Len() {
		s := file.Services().Get(i)
		for j := range s.Methods().Len() {
			m := s.Methods().Get(j)
			lines = append(lines, fmt.Sprintf("rpc %s %s %s", m.Name(), m.Input().Name(), m.Output().Name()))
		}
	}
	for i := range file.Messages().Len() {
		m := file.Messages().Get(i)
		if m.Fields().Len() == 0 {
			lines = append(lines, fmt.Sprintf("message %s", m.Name()))
		}
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			kind := f.Kind().String()
			if f.Message() != nil {
				kind = string(f.Message().Name())
			}
			if f.IsList() {
				kind = "rep " + kind
			} else if f.HasOptionalKeyword() {
				kind = "opt " + kind
			}
			lines = append(lines, fmt.Sprintf("field %s %d %s %s", m.Name(), f.Number(), f.Name(), kind))
		}
	}
	slices.Sort(lines)
	return lines
}

// protoSource returns the wire as a proto file, for clients that read one.
func (w *wire) protoSource() string {
	var b strings.Builder
	b.WriteString("syntax = \"proto3\";\npackage api;\nservice Dex {\n")
	methods := w.file.Services().ByName("Dex").Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		fmt.Fprintf(&b, "  rpc %s (%s) returns (%s);\n", m.Name(), m.Input().Name(), m.Output().Name())
	}
	b.WriteString("}\n")
	replaced := strings.NewReplacer("rep ", "repeated ", "opt ", "optional ")
	for i := range w.file.Messages().Len() {
		m := w.file.Messages().Get(i)
		fmt.Fprintf(&b, "message %s {\n", m.Name())
		for _, line := range w.lines {
			words := strings.Fields(line)
			if words[0] == "field" && words[1] == string(m.Name()) {
				kind := replaced.Replace(strings.Join(words[4:], " "))
				fmt.Fprintf(&b, "  %s %s = %s;\n", kind, words[3], words[2])
			}
		}
		b.WriteString("}\n")
	}
	return b.String()
}
