package saml

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/beevik/etree"
)

const statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"

// checkPlaces refuses assertions and signatures anywhere other than where the schema of a response has them. All wrapping
// attacks need a second one somewhere, to be verified while the first is read. root is the Response, or the element around
// a decrypted assertion.
func checkPlaces(root *etree.Element) error {
	assertions := 0
	return walk(root, func(el *etree.Element) error {
		parent := el.Parent()
		switch {
		case is(el, nsAssertion, "Assertion"), is(el, nsAssertion, "EncryptedAssertion"):
			if parent != root {
				return fmt.Errorf("there is an assertion within %s", quote(parent.Tag))
			}
			if assertions++; assertions > 1 {
				return errors.New("there is more than one assertion")
			}
		case is(el, nsProtocol, "Response"):
			if el != root {
				return fmt.Errorf("there is a Response within %s", quote(parent.Tag))
			}
		case is(el, nsSignature, "Signature"):
			if parent != root && (parent.Parent() != root || !is(parent, nsAssertion, "Assertion")) {
				return fmt.Errorf("there is a signature within %s", quote(parent.Tag))
			}
		}
		return nil
	})
}

// response reads a response whose assertions and signatures are where they belong.
func (r *reading) response(ctx context.Context, root *etree.Element) (*Assertion, error) {
	signed, err := r.verifyUnlessSkipped(ctx, root)
	if err != nil {
		return nil, err
	}
	// Parts that no signature covers are checked as well: that can only make the result stricter.
	head, trusted := root, r.InsecureSkipSignature
	if signed != nil {
		head, trusted = signed, true
	}
	if err := r.checkResponse(head, trusted); err != nil {
		return nil, err
	}
	assertion, err := r.trustedAssertion(ctx, root, signed)
	if err != nil {
		return nil, err
	}
	read, err := r.assertion(ctx, assertion)
	if err != nil {
		return nil, err
	}
	read.ResponseID = attribute(head, "ID")
	read.Warnings = r.warnings
	return read, nil
}

func (r *reading) verifyUnlessSkipped(ctx context.Context, el *etree.Element) (*etree.Element, error) {
	if r.InsecureSkipSignature {
		return nil, nil
	}
	return r.verify(ctx, el, r.clock.now)
}

// trustedAssertion returns the assertion of a response as the provider signed it: by itself, or with the whole response.
// signed is what the response's signature covers, nil if it has none.
func (r *reading) trustedAssertion(ctx context.Context, root, signed *etree.Element) (*etree.Element, error) {
	holder := root
	encrypted, err := child(root, nsAssertion, "EncryptedAssertion")
	if err != nil {
		return nil, err
	}
	if encrypted != nil {
		if holder, err = r.decryptAssertion(ctx, encrypted, signed); err != nil {
			return nil, err
		}
	}
	assertion, err := required(holder, nsAssertion, "Assertion")
	if err != nil {
		return nil, err
	}
	// The assertion's own signature is verified where the assertion was found: the namespaces that it was signed with may be
	// missing in the canonical form of the response.
	covered, err := r.verifyUnlessSkipped(ctx, assertion)
	if err != nil && signed != nil && ctx.Err() == nil {
		// The response's signature covers the assertion whether or not its own holds.
		r.warn("%v; the response that it came in is signed, so it was accepted", err)
		covered, err = nil, nil
	}
	switch {
	case err != nil:
		return nil, err
	case covered != nil:
		return covered, nil
	case signed != nil && encrypted == nil:
		return required(signed, nsAssertion, "Assertion")
	case signed != nil, r.InsecureSkipSignature:
		return reparse(assertion)
	default:
		return nil, errors.New("neither the response nor its assertion is signed")
	}
}

// decryptAssertion returns an element that holds the decrypted assertion. If the response is signed, only what the
// signature covers is decrypted.
func (r *reading) decryptAssertion(ctx context.Context, encrypted, signed *etree.Element) (*etree.Element, error) {
	around := scope(encrypted)
	if signed != nil {
		var err error
		if encrypted, err = required(signed, nsAssertion, "EncryptedAssertion"); err != nil {
			return nil, err
		}
	}
	holder, err := r.keys.decrypt(ctx, encrypted, around, signed != nil)
	if err != nil {
		return nil, err
	}
	return holder, checkPlaces(holder)
}

// checkResponse checks what a response says about itself. A trusted one must have an Issuer, an InResponseTo and a Status.
func (r *reading) checkResponse(response *etree.Element, trusted bool) error {
	if err := checkVersion(response); err != nil {
		return err
	}
	issuer, err := child(response, nsAssertion, "Issuer")
	if err != nil {
		return err
	}
	if issuer != nil || trusted {
		if err := r.checkIssuer(response, issuer); err != nil && (trusted || !r.Accept.ResponseIssuer) {
			return err
		} else if err != nil {
			r.warn("%v; it was accepted because the assertion is signed", err)
		}
	}
	if request := attribute(response, "InResponseTo"); request != r.request && (trusted || request != "") {
		return fmt.Errorf("the response answers another request (InResponseTo %s)", quote(request))
	}
	if destination := attribute(response, "Destination"); destination != "" && destination != r.ACS {
		return fmt.Errorf("the response is meant for another address (Destination %s)", quote(destination))
	}
	return r.checkStatus(response, trusted)
}

func checkVersion(el *etree.Element) error {
	if version := attribute(el, "Version"); version != "" && version != "2.0" {
		return fmt.Errorf("the %s has version %s, not 2.0", el.Tag, quote(version))
	}
	return nil
}

// checkIssuer compares the Issuer of an element, nil if it has none, with the configured one.
func (r *reading) checkIssuer(el, issuer *etree.Element) error {
	if r.Issuer == "" {
		return nil
	}
	if issuer == nil {
		return fmt.Errorf("the %s has no Issuer", el.Tag)
	}
	value, err := trimmedText(issuer)
	if err != nil {
		return err
	}
	if value != r.Issuer {
		return fmt.Errorf("the %s is of another issuer, %s", el.Tag, quote(value))
	}
	return nil
}

// checkStatus returns a *StatusError unless the status is success (saml-core-2.0 section 3.2.2).
func (r *reading) checkStatus(response *etree.Element, trusted bool) error {
	status, err := child(response, nsProtocol, "Status")
	if err != nil {
		return err
	}
	if status == nil {
		if trusted {
			return errors.New("the Response has no Status")
		}
		return nil
	}
	code, err := required(status, nsProtocol, "StatusCode")
	if err != nil {
		return err
	}
	value := attribute(code, "Value")
	if value == statusSuccess {
		return nil
	}
	if value == "" {
		return errors.New("the StatusCode has no Value")
	}
	failure := &StatusError{Code: lastComponent(value), Verified: trusted && !r.InsecureSkipSignature}
	if sub := children(code, nsProtocol, "StatusCode"); len(sub) > 0 {
		failure.SubCode = lastComponent(attribute(sub[0], "Value"))
	}
	if messages := children(status, nsProtocol, "StatusMessage"); len(messages) > 0 {
		// A message that can't be read is left out: the codes say the same.
		if message, err := trimmedText(messages[0]); err == nil {
			failure.Message = printable(message)
		}
	}
	return failure
}

// lastComponent returns what follows the last colon of a URN.
func lastComponent(urn string) string {
	return printable(urn[strings.LastIndex(urn, ":")+1:])
}

// printable shortens a provider's words to 200 characters and removes characters that could deceive in a log.
func printable(s string) string {
	const limit = 200
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > limit {
			break
		}
		if !unicode.IsPrint(c) {
			c = ' '
		}
		b.WriteRune(c)
	}
	return b.String()
}
