//go:build !race

package app_test

const raceFactor = 1
