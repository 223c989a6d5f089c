// Package faulttest registers tests for faults found in real use, so that each can be run by the fault's id:
//
//	go test -run 'TestFault/^R1$' ./...
//
// A test package has one function TestFault, which calls Run, and adds its tests next to the code they are about.
package faulttest

import (
	"maps"
	"slices"
	"testing"
)

var faults = map[string][]func(*testing.T){}

// Add registers a test for the fault with an id. A fault may have several tests.
func Add(id string, test func(*testing.T)) struct{} {
	faults[id] = append(faults[id], test)
	return struct{}{}
}

// Run runs the tests that the calling package has added, in the order of their ids.
func Run(t *testing.T) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(faults)) {
		for _, test := range faults[id] {
			t.Run(id, test)
		}
	}
}
