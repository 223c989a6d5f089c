package kubeapi

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	// maxName is the longest name of an object, in bytes.
	maxName = 253
	// MaxLabel is the longest value of a label, and the longest name of a namespace, in bytes.
	MaxLabel = 63
)

var namePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// ValidName reports whether an object may have the name: a DNS subdomain. It is false for the empty name and for those
// that mean something in a path.
func ValidName(name string) bool { return len(name) <= maxName && namePattern.MatchString(name) }

// ValidNamespace reports whether a namespace may have the name: a DNS label, which has no dot.
func ValidNamespace(name string) bool {
	return len(name) <= MaxLabel && !strings.Contains(name, ".") && ValidName(name)
}

// checkNamespace refuses what would make the path of an object one of something else.
func checkNamespace(namespace string) error {
	if !ValidNamespace(namespace) {
		return fmt.Errorf("the namespace %q is not a valid one", namespace)
	}
	return nil
}
