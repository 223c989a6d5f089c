package saml_test

import (
	"fmt"
	"strings"
	"testing"
)

// An empty end is not the same as none.
func TestEndsThatAreNone(t *testing.T) {
	p := newPeople(t)
	for name, before := range map[string]edit{
		"least instant of .NET":   replace(`NotOnOrAfter="2030-01-02T03:10:00Z"`, `NotOnOrAfter="0001-01-01T00:00:00Z"`),
		"the same with an offset": replace(`NotOnOrAfter="2030-01-02T03:10:00Z"`, `NotOnOrAfter="0001-01-01T01:00:00+01:00"`),
		"empty":                   replace(`NotOnOrAfter="2030-01-02T03:10:00Z"`, `NotOnOrAfter=""`),
		"session":                 replace(`SessionNotOnOrAfter="2030-01-02T11:00:00Z"`, `SessionNotOnOrAfter="0001-01-01T00:00:00Z"`),
	} {
		t.Run(name, func(t *testing.T) {
			document := inTurn(before, signer{who: p.provider}.sign("_response1"))(t, plainResponse)
			if read, err := reader(p).Read(t.Context(), []byte(document), request); err == nil {
				t.Errorf("it is read, and ends at %v", read.NotOnOrAfter)
			}
		})
	}
}

// The library stops at 1000 elements in some places, which must not limit the groups.
func TestManyGroups(t *testing.T) {
	p := newPeople(t)
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "<saml:AttributeValue>group%d</saml:AttributeValue>", i)
	}
	document := inTurn(replace("<saml:AttributeValue>admins</saml:AttributeValue>", b.String()), signedByLibrary(p.provider))(t, plainResponse)
	if _, err := reader(p).Read(t.Context(), []byte(document), request); err != nil {
		t.Error(err)
	}
}
