package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Bounds of a document. A response of a real provider is some ten elements deep, and has one or two elements for each of
// the user's groups, and there may be thousands of those.
const (
	maxDepth         = 50
	maxElements      = 50_000
	maxAttributes    = 100 // of one element
	maxPrefixed      = 20  // prefixed attributes of one element, which canonicalization sorts by comparing them all
	maxAround        = 500 // attributes of an element and those around it, which are searched to resolve a prefix
	maxNamespaces    = 100 // declared at one place by an element and those around it
	maxTokens        = 4 * maxElements
	maxAllAttributes = 3 * maxElements // attributes of all elements
	maxComments      = 1000            // and processing instructions
	// maxContext bounds the elements around each element and the namespaces declared there, summed over all elements:
	// canonicalization copies them for each.
	maxContext = 25 * maxElements
	// maxNames bounds the namespaces of all names together, in bytes: exclusive canonicalization may write one out at each use.
	maxNames = 4 * maxMessage
)

const xmlNamespace = "http://www.w3.org/XML/1998/namespace"

// parse reads a document and returns its root. It refuses whatever other parsers might understand differently: signer and
// reader must read the same bytes the same way.
func parse(data []byte) (*etree.Element, error) { return parseTolerant(data, Tolerance{}) }

// parseTolerant is parse with exceptions for what a Tolerance allows.
func parseTolerant(data []byte, accept Tolerance) (*etree.Element, error) {
	if len(data) > maxMessage {
		return nil, errTooLong
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, errors.New("the document is not UTF-8")
	}
	if err := checkSyntax(data, accept.SignatureIDs); err != nil {
		return nil, err
	}
	document := etree.NewDocument()
	if err := document.ReadFromBytes(data); err != nil {
		return nil, fmt.Errorf("the document is not XML: %w", err)
	}
	root := document.Root()
	if root == nil {
		return nil, errors.New("the document is empty")
	}
	return root, nil
}

// checkSyntax checks what the parser is lenient about. It works on the decoder's raw tokens, which are neither matched nor
// resolved.
func checkSyntax(data []byte, signatureIDs bool) error {
	checker := syntax{decoder: xml.NewDecoder(bytes.NewReader(data)), ids: map[string]bool{}, signatureIDs: signatureIDs}
	for {
		token, err := checker.decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return checker.end()
		}
		if err != nil {
			return fmt.Errorf("the document is not XML: %w", err)
		}
		if err := checkRoundtrip(token); err != nil {
			return fmt.Errorf("the document changes when it is read and written: %w", err)
		}
		if err := checker.token(token); err != nil {
			return err
		}
		if checker.tokens++; checker.tokens > maxTokens {
			return fmt.Errorf("the document has more than %d parts", maxTokens)
		}
	}
}

// syntax is the state of a document that is being checked.
type syntax struct {
	decoder    *xml.Decoder
	open       []openElement
	ids        map[string]bool // whether it is one of a Signature
	tokens     int
	elements   int
	comments   int
	attributed int
	context    int // see maxContext
	names      int // see maxNames
	// signatureIDs accepts Signatures with the same Id: only something that refers to a Signature could mistake one for another.
	signatureIDs bool
}

// An openElement is an element whose end has not been read, with the prefixes that it declares.
type openElement struct {
	name       xml.Name // with the prefix in the place of the namespace
	prefixes   map[string]string
	attributes int
	prefixed   int // of the attributes
}

func (s *syntax) token(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		return s.start(token)
	case xml.EndElement:
		if len(s.open) == 0 || s.open[len(s.open)-1].name != token.Name {
			return fmt.Errorf("the document is not XML: unexpected end of %s", quote(token.Name.Local))
		}
		s.open = s.open[:len(s.open)-1]
	case xml.CharData:
		if len(s.open) == 0 && len(bytes.TrimSpace(token)) != 0 {
			return errors.New("the document has text outside its root element")
		}
	case xml.ProcInst:
		// The decoder reports the XML declaration as one. Others, such as for a stylesheet, are not part of what is signed as
		// long as they are outside the root element.
		if token.Target == "xml" && s.tokens != 0 || len(s.open) > 0 {
			return errors.New("the document has a processing instruction")
		}
		return s.comment()
	case xml.Comment:
		return s.comment()
	case xml.Directive:
		return errors.New("the document has a DOCTYPE or another directive")
	}
	return nil
}

func (s *syntax) comment() error {
	if s.comments++; s.comments > maxComments {
		return fmt.Errorf("the document has more than %d comments", maxComments)
	}
	return nil
}

func (s *syntax) end() error {
	if len(s.open) != 0 || s.elements == 0 {
		return errors.New("the document is not XML: it ends too early")
	}
	return nil
}

func (s *syntax) start(start xml.StartElement) error {
	if len(s.open) == 0 && s.elements > 0 {
		return errors.New("the document has more than one root element")
	}
	s.elements++
	s.attributed += len(start.Attr)
	switch {
	case s.elements > maxElements:
		return fmt.Errorf("the document has more than %d elements", maxElements)
	case len(s.open) >= maxDepth:
		return fmt.Errorf("the document is more than %d elements deep", maxDepth)
	case s.attributed > maxAllAttributes:
		return fmt.Errorf("the document has more than %d attributes", maxAllAttributes)
	case len(start.Attr) > maxAttributes:
		return fmt.Errorf("an element has more than %d attributes", maxAttributes)
	}
	element := openElement{name: start.Name, attributes: len(start.Attr)}
	for _, attribute := range start.Attr {
		if err := element.declare(attribute); err != nil {
			return err
		}
	}
	s.open = append(s.open, element)
	if err := s.around(); err != nil {
		return err
	}
	namespace, err := s.resolve(start.Name)
	if err != nil {
		return err
	}
	return s.attributes(start.Attr, namespace == nsSignature && start.Name.Local == "Signature")
}

// around checks what is around the element that was opened last, itself included.
func (s *syntax) around() error {
	declared, attributes := 0, 0
	for _, open := range s.open {
		declared += len(open.prefixes)
		attributes += open.attributes
	}
	s.context += len(s.open) + declared
	switch {
	case s.open[len(s.open)-1].prefixed > maxPrefixed:
		return fmt.Errorf("an element has more than %d attributes with a prefix", maxPrefixed)
	case declared > maxNamespaces:
		return fmt.Errorf("more than %d namespaces are declared at one place", maxNamespaces)
	case attributes > maxAround:
		return fmt.Errorf("an element and those around it have more than %d attributes", maxAround)
	case s.context > maxContext:
		return errors.New("too many elements are deep within others, or within many namespaces")
	}
	return nil
}

// declare notes an attribute that is a namespace declaration, or has a prefix (Namespaces in XML 1.0, sections 3 and 5).
func (e *openElement) declare(attribute xml.Attr) error {
	prefix, uri := attribute.Name.Local, attribute.Value
	if attribute.Name.Space == "" && prefix == "xmlns" {
		prefix = ""
	} else if attribute.Name.Space != "xmlns" {
		if attribute.Name.Space != "" {
			e.prefixed++
		}
		return nil
	}
	switch {
	case prefix == "xml", prefix == "xmlns", uri == xmlNamespace, uri == "http://www.w3.org/2000/xmlns/":
		return errors.New("a reserved namespace or prefix is redeclared")
	case prefix != "" && uri == "":
		return fmt.Errorf("the document undeclares the prefix %s", quote(prefix))
	}
	if e.prefixes == nil {
		e.prefixes = map[string]string{}
	}
	e.prefixes[prefix] = uri
	return nil
}

// resolve returns the namespace of a name.
func (s *syntax) resolve(name xml.Name) (string, error) {
	if name.Local == "" || strings.Contains(name.Local, ":") || strings.Contains(name.Space, ":") {
		return "", fmt.Errorf("%s is not a name with one prefix", quote(name.Local))
	}
	if name.Space == "xml" {
		return xmlNamespace, nil
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		if uri, declared := s.open[i].prefixes[name.Space]; declared {
			if s.names += len(uri); s.names > maxNames {
				return "", fmt.Errorf("the names of namespaces have more than %d bytes together", maxNames)
			}
			return uri, nil
		}
	}
	if name.Space == "" {
		return "", nil
	}
	return "", fmt.Errorf("the prefix %s is not declared", quote(name.Space))
}

// attributes checks that no attribute occurs twice, not even with two prefixes for one namespace, and that no two elements
// have the same ID.
func (s *syntax) attributes(attributes []xml.Attr, ofSignature bool) error {
	seen := make(map[xml.Name]bool, len(attributes))
	for _, attribute := range attributes {
		name := attribute.Name
		prefixed := name.Space != ""
		// Code that looks attributes up by their local names alone must not mistake another one for the ID.
		if prefixed && strings.EqualFold(name.Local, "ID") {
			return errors.New("an ID attribute has a prefix")
		}
		if prefixed && name.Space != "xmlns" {
			namespace, err := s.resolve(name)
			if err != nil {
				return err
			}
			name.Space = namespace
		} else if strings.Contains(name.Local, ":") {
			return fmt.Errorf("%s is not a name with one prefix", quote(name.Local))
		}
		if seen[name] {
			return fmt.Errorf("an element has two attributes %s", quote(name.Local))
		}
		seen[name] = true
		// SAML calls it ID, XML Signature and XML Encryption Id.
		if name.Local == "ID" || name.Local == "Id" {
			if signature, taken := s.ids[attribute.Value]; taken && (!s.signatureIDs || !signature || !ofSignature) {
				return fmt.Errorf("two elements have the ID %s", quote(attribute.Value))
			}
			s.ids[attribute.Value] = ofSignature
		}
	}
	return nil
}

// together joins errors into one, on one line.
func together(failures []error) error {
	texts := make([]string, 0, len(failures))
	for _, failure := range failures {
		texts = append(texts, failure.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}

// quote prepares a piece of a document for an error: quoted, as it may contain anything, and not too long.
func quote(s string) string {
	const limit = 100
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return fmt.Sprintf("%q", s)
}
