package token

import (
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/oauth"
)

// What Factors has besides the ids of authenticators, none of which begins with @.
const (
	// FactorOfSource says that the source has asked for a second factor itself.
	FactorOfSource = "@source"
	// FactorOfUpstream is in what was taken over from upstream, which has asked for the factors that there were.
	FactorOfUpstream = "@upstream"
)

// FactorsOf returns what Factors has of somebody who has passed an authenticator by some methods (RFC 8176): its id, and for each method
// "@hwk id". A recovery code, which stands for a key, is passed by no method of a key.
func FactorsOf(authenticatorID string, methods []string) []string {
	found := []string{authenticatorID}
	for _, method := range methods {
		if method != oauth.MethodMultiple { // follows from there being a factor at all
			found = append(found, "@"+method+" "+authenticatorID)
		}
	}
	return found
}

// FactorOf takes a member of Factors apart: the authenticator that it is about, and by which method it was passed, if it says that. What
// a source has asked for has no authenticator.
func FactorOf(member string) (authenticatorID, method string) {
	marker, isMarker := strings.CutPrefix(member, "@")
	if !isMarker {
		return member, ""
	}
	method, authenticatorID, isMethod := strings.Cut(marker, " ")
	if !isMethod {
		return "", ""
	}
	return authenticatorID, method
}

// HasPassedBy reports whether somebody has passed an authenticator by a method.
func HasPassedBy(factors []string, method string) bool {
	return slices.ContainsFunc(factors, func(member string) bool {
		_, by := FactorOf(member)
		return by == method
	})
}

// MethodsOf returns by which methods somebody has signed in: those of the first proof, and those by which they have passed the second
// factors that count.
func MethodsOf(first, factors []string) []string {
	methods, some := slices.Clone(first), false
	for _, member := range factors {
		authenticatorID, method := FactorOf(member)
		methods, some = append(methods, method), some || authenticatorID != ""
	}
	if some {
		methods = append(methods, oauth.MethodMultiple)
	}
	return connector.Unique(methods)
}
