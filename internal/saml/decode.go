package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxMessage bounds a message in bytes, decoded and inflated: some 10,000 groups with long names. In base64, as in a form,
// such a message takes some 3 MB.
const maxMessage = 2 << 20

// DecodePost decodes the SAMLResponse or SAMLRequest of a form (saml-bindings-2.0 section 3.5.4): standard base64, which may
// be broken into lines. It fails if the text is not base64, or the message is longer than 2 MiB.
func DecodePost(value string) ([]byte, error) {
	if len(value) > 2*maxMessage {
		return nil, errTooLong
	}
	// Forms preserve line breaks and blanks of any kind, and the decoder itself skips only CR and LF.
	value = strings.Map(withoutSpace, value)
	if base64.StdEncoding.DecodedLen(len(value)) > maxMessage+2 {
		return nil, errTooLong
	}
	message, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("the message is not base64: %w", err)
	}
	if len(message) > maxMessage {
		return nil, errTooLong
	}
	return message, nil
}

// InResponseTo returns the ID of the request that a response claims to answer, empty if it names none, and whether it is a
// response at all. The value comes from a form. Nothing is checked: anybody may have written it.
func InResponseTo(value string) (request string, ok bool) {
	const most = 16 << 10 // characters; the attribute is at the beginning
	value = strings.Map(withoutSpace, value[:min(len(value), most)])
	head, err := base64.StdEncoding.DecodeString(value[:len(value)/4*4])
	if err != nil {
		return "", false
	}
	decoder := xml.NewDecoder(bytes.NewReader(head))
	for {
		token, err := decoder.RawToken()
		if err != nil {
			return "", false
		}
		start, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		for _, attribute := range start.Attr {
			if attribute.Name == (xml.Name{Local: "InResponseTo"}) {
				request = attribute.Value
			}
		}
		return request, start.Name.Local == "Response"
	}
}

// DecodeRedirect decodes the SAMLRequest or SAMLResponse of a query (saml-bindings-2.0 section 3.4.4.1): base64 of raw
// DEFLATE. It fails if the value is anything else, or inflates to more than 2 MiB.
func DecodeRedirect(value string) ([]byte, error) {
	deflated, err := DecodePost(value)
	if err != nil {
		return nil, err
	}
	source := bytes.NewReader(deflated)
	message, err := io.ReadAll(io.LimitReader(flate.NewReader(source), maxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("the message is not deflated: %w", err)
	}
	if len(message) > maxMessage {
		return nil, errTooLong
	}
	if source.Len() != 0 {
		return nil, errors.New("the message goes on after its deflated part")
	}
	return message, nil
}

var errTooLong = fmt.Errorf("the message is longer than %d bytes", maxMessage)

// withoutSpace is for [strings.Map].
func withoutSpace(r rune) rune {
	if isSpace(r) {
		return -1
	}
	return r
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }
