//go:build race

package app_test

// raceFactor is how many times as much CPU and memory code takes that the race detector watches.
const raceFactor = 4
