package saml

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
)

const confirmationMethods = "urn:oasis:names:tc:SAML:2.0:cm:"

// assertion checks and reads an assertion, which by now is a document of its own: only the bytes that are trusted.
func (r *reading) assertion(ctx context.Context, el *etree.Element) (*Assertion, error) {
	if err := checkVersion(el); err != nil {
		return nil, err
	}
	issuer, err := child(el, nsAssertion, "Issuer")
	if err != nil {
		return nil, err
	}
	if err := r.checkIssuer(el, issuer); err != nil {
		return nil, err
	}
	read := &Assertion{ID: attribute(el, "ID")}
	if read.ID == "" {
		return nil, errors.New("the Assertion has no ID")
	}
	if issuer != nil {
		if read.Issuer, err = trimmedText(issuer); err != nil {
			return nil, err
		}
	}
	subject, err := required(el, nsAssertion, "Subject")
	if err != nil {
		return nil, err
	}
	confirmedUntil, err := r.confirmation(subject)
	if err != nil {
		return nil, err
	}
	conditionsUntil, err := r.conditions(el)
	if err != nil {
		return nil, err
	}
	if err := r.authentication(el, read); err != nil {
		return nil, err
	}
	if read.NameID, err = r.nameID(ctx, subject); err != nil {
		return nil, err
	}
	if read.Attributes, err = r.attributes(ctx, el); err != nil {
		return nil, err
	}
	end := earlier(earlier(confirmedUntil, conditionsUntil), read.SessionNotOnOrAfter)
	if !end.IsZero() {
		read.NotOnOrAfter = end.Add(r.clock.skew)
	}
	return read, nil
}

// confirmation requires that one of the subject's confirmations lets the bearer act as the subject (saml-profiles-2.0 section
// 4.1.4.2), and returns until when. Zero means no end.
func (r *reading) confirmation(subject *etree.Element) (time.Time, error) {
	var until time.Time
	var failures []error
	confirmed, endless := false, false
	for _, confirmation := range children(subject, nsAssertion, "SubjectConfirmation") {
		end, err := r.bearer(confirmation)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		// The assertion can be used for as long as any of them holds.
		confirmed = true
		endless = endless || end.IsZero()
		if end.After(until) {
			until = end
		}
	}
	switch {
	case !confirmed && len(failures) == 0:
		return until, errors.New("the Subject has no SubjectConfirmation")
	case !confirmed:
		return until, fmt.Errorf("the subject is not confirmed: %w", together(failures))
	case endless:
		return time.Time{}, nil
	}
	return until, nil
}

func (r *reading) bearer(confirmation *etree.Element) (time.Time, error) {
	var none time.Time
	if method := attribute(confirmation, "Method"); method != confirmationMethods+"bearer" {
		return none, fmt.Errorf("the method %s is not bearer", quote(method))
	}
	data, err := required(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return none, err
	}
	if request := attribute(data, "InResponseTo"); request != r.request {
		return none, fmt.Errorf("it answers another request (InResponseTo %s)", quote(request))
	}
	recipient := attribute(data, "Recipient")
	if recipient == "" && r.Strict {
		return none, errors.New("it has no Recipient")
	}
	if recipient != "" && recipient != r.ACS {
		return none, fmt.Errorf("it is meant for another Recipient, %s", quote(recipient))
	}
	end, err := r.clock.within(data)
	if err == nil && end.IsZero() && r.Strict {
		err = errors.New("it has no NotOnOrAfter")
	}
	return end, err
}

// conditions checks the conditions of an assertion (saml-core-2.0 section 2.5.1), and returns until when they hold. Zero means
// no end.
func (r *reading) conditions(el *etree.Element) (time.Time, error) {
	conditions, err := child(el, nsAssertion, "Conditions")
	if err != nil {
		return time.Time{}, err
	}
	if conditions == nil {
		if r.Strict {
			return time.Time{}, errors.New("the Assertion has no Conditions")
		}
		return time.Time{}, nil
	}
	restricted := false
	for _, condition := range conditions.ChildElements() {
		switch {
		case is(condition, nsAssertion, "AudienceRestriction"):
			restricted = true
			if err := r.checkAudience(condition); err != nil {
				return time.Time{}, err
			}
		// For OneTimeUse the caller remembers the ID. ProxyRestriction concerns only parties that issue assertions of their own.
		case is(condition, nsAssertion, "OneTimeUse"), is(condition, nsAssertion, "ProxyRestriction"):
		case r.Accept.UnknownConditions:
			r.warn("the condition %s is not known, so it can't be checked; the assertion was accepted", quote(condition.Tag))
		default:
			return time.Time{}, fmt.Errorf("the condition %s is not known, so it can't be checked", quote(condition.Tag))
		}
	}
	if !restricted && r.Strict {
		return time.Time{}, errors.New("the Conditions have no AudienceRestriction")
	}
	return r.clock.within(conditions)
}

func (r *reading) checkAudience(restriction *etree.Element) error {
	var names []string
	for _, audience := range children(restriction, nsAssertion, "Audience") {
		name, err := trimmedText(audience)
		if err != nil {
			return err
		}
		if name == r.Audience {
			return nil
		}
		names = append(names, name)
	}
	return fmt.Errorf("the assertion is meant for another audience, %s, and not for %s",
		quote(strings.Join(names, " ")), quote(r.Audience))
}

// authentication reads the statements about how and when the user was authenticated. The first names the session.
func (r *reading) authentication(el *etree.Element, read *Assertion) error {
	for i, statement := range children(el, nsAssertion, "AuthnStatement") {
		end, err := r.clock.before(statement, "SessionNotOnOrAfter")
		if err != nil && r.Accept.EndedSessions {
			r.warn("SessionNotOnOrAfter is past: the provider's session with the user has ended; the assertion was accepted") // logged once, so without times
		} else if err != nil {
			return err
		}
		read.SessionNotOnOrAfter = earlier(read.SessionNotOnOrAfter, end)
		if i > 0 {
			continue
		}
		read.SessionIndex = attribute(statement, "SessionIndex")
		// One that can't be read counts as absent. That lets nobody in: a user who had to authenticate again is refused without it.
		read.AuthnInstant, _ = instant(statement, "AuthnInstant")
		if read.AuthnContext, err = authnContext(statement); err != nil {
			return err
		}
	}
	return nil
}

func authnContext(statement *etree.Element) (string, error) {
	found, err := child(statement, nsAssertion, "AuthnContext")
	if found == nil || err != nil {
		return "", err
	}
	class, err := child(found, nsAssertion, "AuthnContextClassRef")
	if class == nil || err != nil {
		return "", err
	}
	return trimmedText(class)
}

// nameID reads the subject's name, and decrypts it if need be.
func (r *reading) nameID(ctx context.Context, subject *etree.Element) (NameID, error) {
	encrypted, err := child(subject, nsAssertion, "EncryptedID")
	if err != nil {
		return NameID{}, err
	}
	holder := subject
	if encrypted != nil {
		if len(children(subject, nsAssertion, "NameID")) > 0 {
			return NameID{}, fmt.Errorf("the %s has both a NameID and an EncryptedID", subject.Tag)
		}
		if holder, err = r.decryptWithin(ctx, encrypted); err != nil {
			return NameID{}, err
		}
	}
	el, err := required(holder, nsAssertion, "NameID")
	if err != nil {
		return NameID{}, err
	}
	value, err := valueText(el)
	if err != nil {
		return NameID{}, err
	}
	if value == "" {
		return NameID{}, errors.New("the NameID is empty")
	}
	return NameID{
		Value: value, Format: attribute(el, "Format"),
		NameQualifier: attribute(el, "NameQualifier"), SPNameQualifier: attribute(el, "SPNameQualifier"),
	}, nil
}

// decryptWithin decrypts a part of the assertion. A signature covers it, unless signatures are not checked at all.
func (r *reading) decryptWithin(ctx context.Context, encrypted *etree.Element) (*etree.Element, error) {
	return r.keys.decrypt(ctx, encrypted, scope(encrypted), !r.InsecureSkipSignature)
}

// attributes reads all attribute statements.
func (r *reading) attributes(ctx context.Context, el *etree.Element) ([]Attribute, error) {
	var found []Attribute
	for _, statement := range children(el, nsAssertion, "AttributeStatement") {
		for _, part := range statement.ChildElements() {
			if is(part, nsAssertion, "EncryptedAttribute") {
				holder, err := r.decryptWithin(ctx, part)
				if err != nil {
					return nil, err
				}
				if part, err = required(holder, nsAssertion, "Attribute"); err != nil {
					return nil, err
				}
			}
			if !is(part, nsAssertion, "Attribute") {
				continue
			}
			read, err := readAttribute(part)
			if err != nil {
				return nil, err
			}
			found = append(found, read)
		}
	}
	return found, nil
}

func readAttribute(el *etree.Element) (Attribute, error) {
	read := Attribute{Name: attribute(el, "Name"), FriendlyName: attribute(el, "FriendlyName")}
	for _, value := range el.ChildElements() {
		// Upstream accepts values in any namespace.
		if value.Tag != "AttributeValue" {
			continue
		}
		if value, err := attributeValue(value); err != nil {
			return Attribute{}, err
		} else if value != nil {
			read.Values = append(read.Values, *value)
		}
	}
	return read, nil
}

// attributeValue returns the text of a value, without the indentation around it. A value may hold a NameID, as
// eduPersonTargetedID does. One that holds other elements is not text, and is left out.
func attributeValue(el *etree.Element) (*string, error) {
	parts := el.ChildElements()
	if len(parts) == 1 && is(parts[0], nsAssertion, "NameID") {
		el, parts = parts[0], parts[0].ChildElements()
	}
	if len(parts) > 0 {
		return nil, nil
	}
	value, err := valueText(el)
	if err != nil {
		return nil, err
	}
	return &value, nil
}
