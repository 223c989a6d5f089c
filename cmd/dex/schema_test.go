package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestSchemaIsPrinted(t *testing.T) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs([]string{"schema"})
	root.SetOut(&out)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Draft string `json:"$schema"`
	}
	if err := json.Unmarshal(out.Bytes(), &schema); err != nil || schema.Draft != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("%v: %.200s", err, out.String())
	}
}
