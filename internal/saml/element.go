package saml

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Namespaces.
const (
	nsProtocol   = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion  = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsSignature  = "http://www.w3.org/2000/09/xmldsig#"
	nsEncryption = "http://www.w3.org/2001/04/xmlenc#"
	nsEnc11      = "http://www.w3.org/2009/xmlenc11#"
	nsExclusive  = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

func is(el *etree.Element, namespace, name string) bool {
	return el.Tag == name && el.NamespaceURI() == namespace
}

// isRoot reports whether an element is the root of its document: its parent is the document.
func isRoot(el *etree.Element) bool {
	parent := el.Parent()
	return parent != nil && parent.Parent() == nil && parent.Tag == ""
}

// children returns the direct children with a name.
func children(el *etree.Element, namespace, name string) []*etree.Element {
	var found []*etree.Element
	for _, child := range el.ChildElements() {
		if is(child, namespace, name) {
			found = append(found, child)
		}
	}
	return found
}

// child returns the only child with a name, nil if there is none, and an error if there are several: which one is meant must
// never depend on the reader.
func child(el *etree.Element, namespace, name string) (*etree.Element, error) {
	found := children(el, namespace, name)
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("%s has more than one %s", el.Tag, name)
	}
}

// required is child, but the child must be there.
func required(el *etree.Element, namespace, name string) (*etree.Element, error) {
	found, err := child(el, namespace, name)
	if err == nil && found == nil {
		err = fmt.Errorf("%s has no %s", el.Tag, name)
	}
	return found, err
}

// attribute returns the value of an attribute without a prefix, empty if there is none. The tree's own look-up would accept
// one with any prefix.
func attribute(el *etree.Element, name string) string {
	value, _ := lookUp(el, name)
	return value
}

// lookUp is attribute, but tells an empty one from an absent one.
func lookUp(el *etree.Element, name string) (string, bool) {
	for i := range el.Attr {
		if el.Attr[i].Space == "" && el.Attr[i].Key == name {
			return el.Attr[i].Value, true
		}
	}
	return "", false
}

// text returns the text of an element that holds nothing else. A comment is an error: signed content has none, and elsewhere
// two readers could see different texts.
func text(el *etree.Element) (string, error) {
	var b strings.Builder
	for _, token := range el.Child {
		switch token := token.(type) {
		case *etree.CharData:
			b.WriteString(token.Data)
		case *etree.Comment:
			return "", fmt.Errorf("there is a comment in the text of %s", el.Tag)
		default:
			return "", fmt.Errorf("%s holds more than text", el.Tag)
		}
	}
	return b.String(), nil
}

// decodeText decodes an element's base64 text.
func decodeText(el *etree.Element) ([]byte, error) {
	value, err := text(el)
	if err != nil {
		return nil, err
	}
	decoded, err := DecodePost(value)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64", el.Tag)
	}
	return decoded, nil
}

// trimmedText is text without the white space around it, for URIs and base64.
func trimmedText(el *etree.Element) (string, error) {
	value, err := text(el)
	return strings.TrimFunc(value, isSpace), err
}

// valueText is text without the indentation around it, for names.
func valueText(el *etree.Element) (string, error) {
	value, err := text(el)
	return trimIndent(value), err
}

// trimIndent removes the white space before and after a value if it has a line break in it, as in pretty-printed XML, and all
// of a value that is only white space. Blanks alone stay: "jane" and "jane " may be two users, or groups, at the provider,
// and one must not become the other here.
func trimIndent(value string) string {
	if rest := strings.TrimLeftFunc(value, isSpace); rest == "" || strings.ContainsAny(value[:len(value)-len(rest)], "\r\n") {
		value = rest
	}
	if rest := strings.TrimRightFunc(value, isSpace); strings.ContainsAny(value[len(rest):], "\r\n") {
		value = rest
	}
	return value
}

// walk calls visit for an element and everything in it.
func walk(el *etree.Element, visit func(*etree.Element) error) error {
	if err := visit(el); err != nil {
		return err
	}
	for _, child := range el.ChildElements() {
		if err := walk(child, visit); err != nil {
			return err
		}
	}
	return nil
}

// scope returns the namespace declarations in force at an element, its own and those of its ancestors. The key is the
// prefix.
func scope(el *etree.Element) map[string]string {
	declared := map[string]string{}
	for ; el != nil; el = el.Parent() {
		for i := range el.Attr {
			prefix, declares := el.Attr[i].Key, el.Attr[i].Space == "xmlns"
			if el.Attr[i].Space == "" && prefix == "xmlns" {
				prefix, declares = "", true
			}
			if _, nearer := declared[prefix]; declares && !nearer {
				declared[prefix] = el.Attr[i].Value
			}
		}
	}
	return declared
}

// detach returns a copy of an element that means the same on its own: it declares the namespaces that its ancestors declared.
func detach(el *etree.Element) *etree.Element {
	alone := el.Copy()
	own := scope(alone)
	for prefix, uri := range scope(el) {
		if _, declared := own[prefix]; declared || uri == "" {
			continue
		}
		if prefix == "" {
			alone.CreateAttr("xmlns", uri)
		} else {
			alone.CreateAttr("xmlns:"+prefix, uri)
		}
	}
	return alone
}

// removeComments removes all comments from an element. A reference by ID, or to the whole document, never includes them,
// whatever its transforms are (XML Signature 1.1 section 4.4.3.3), but the library leaves them in.
func removeComments(el *etree.Element) {
	el.Child = slices.DeleteFunc(el.Child, func(token etree.Token) bool {
		_, isComment := token.(*etree.Comment)
		return isComment
	})
	el.ReindexChildren()
	for _, child := range el.ChildElements() {
		removeComments(child)
	}
}

// reparse writes an element in canonical form, which has no comments, and reads it again, so that nothing is left of the
// document that it came from.
func reparse(el *etree.Element) (*etree.Element, error) {
	data, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(detach(el))
	if err != nil {
		return nil, fmt.Errorf("canonicalising %s: %w", el.Tag, err)
	}
	return parseCanonical(data, el)
}

// parseCanonical parses the canonical form of an element.
func parseCanonical(data []byte, el *etree.Element) (*etree.Element, error) {
	again, err := parse(data)
	if err != nil {
		return nil, err
	}
	if again.Tag != el.Tag || again.NamespaceURI() != el.NamespaceURI() || attribute(again, "ID") != attribute(el, "ID") {
		return nil, errors.New("the canonical form is another element")
	}
	return again, nil
}
