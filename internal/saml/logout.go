package saml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beevik/etree"
)

// A LogoutRequest is a provider's message that a user has signed out there (saml-core-2.0 section 3.7.1).
type LogoutRequest struct {
	ID     string
	Issuer string
	NameID NameID
	// SessionIndexes are the sessions that end; none means all of the user's.
	SessionIndexes []string
	Issued         time.Time
	// Expires is when ReadLogout refuses the request, clock skew included. Its ID must be remembered until then.
	Expires time.Time
}

const (
	// maxSessions bounds how many sessions a request may end.
	maxSessions = 1000
	// undatedLogout is how long a request counts that has no NotOnOrAfter, and longestLogout how long any does.
	undatedLogout = 5 * time.Minute
	longestLogout = time.Hour
)

// ReadLogout checks a LogoutRequest that came to an address. It must be signed: by a signature in it, or by one around it that
// the caller has verified.
func (r *Reader) ReadLogout(ctx context.Context, document []byte, address string, verified bool) (*LogoutRequest, error) {
	root, err := parseTolerant(document, r.Accept)
	if err != nil {
		return nil, err
	}
	if !is(root, nsProtocol, "LogoutRequest") {
		return nil, fmt.Errorf("the document is not a SAML 2.0 LogoutRequest but %s", quote(root.Tag))
	}
	reading := &reading{Reader: r, clock: r.clock(), keys: decrypter{keys: r.Keys, left: maxUnwraps}}
	if !verified && !r.InsecureSkipSignature {
		if root, err = r.verify(ctx, root, reading.clock.now); err != nil {
			return nil, err
		}
		if root == nil {
			return nil, errors.New("the LogoutRequest is not signed")
		}
	}
	return reading.logoutRequest(ctx, root, address)
}

// logoutRequest reads a request that is trusted.
func (r *reading) logoutRequest(ctx context.Context, root *etree.Element, address string) (*LogoutRequest, error) {
	if err := checkVersion(root); err != nil {
		return nil, err
	}
	issuer, err := child(root, nsAssertion, "Issuer")
	if err != nil {
		return nil, err
	}
	if err := r.checkIssuer(root, issuer); err != nil {
		return nil, err
	}
	// Of signed messages it is required (saml-bindings-2.0 sections 3.4.5.2 and 3.5.5.2): somebody could pass on another's.
	destination := attribute(root, "Destination")
	if destination != address && (destination != "" || r.Strict) {
		return nil, fmt.Errorf("the LogoutRequest is meant for another address (Destination %s), and not for %s",
			quote(destination), quote(address))
	}
	read := &LogoutRequest{ID: attribute(root, "ID")}
	if read.ID == "" {
		return nil, errors.New("the LogoutRequest has no ID")
	}
	if issuer != nil {
		if read.Issuer, err = trimmedText(issuer); err != nil {
			return nil, err
		}
	}
	if err := r.logoutTime(root, read); err != nil {
		return nil, err
	}
	if read.NameID, err = r.nameID(ctx, root); err != nil {
		return nil, err
	}
	read.SessionIndexes, err = sessionIndexes(root)
	return read, err
}

// logoutTime reads when a request was made, and until when it counts.
func (r *reading) logoutTime(root *etree.Element, read *LogoutRequest) error {
	var err error
	if read.Issued, err = instant(root, "IssueInstant"); err != nil {
		return err
	}
	if read.Issued.IsZero() {
		return errors.New("the LogoutRequest has no IssueInstant")
	}
	if read.Issued.After(r.clock.now.Add(r.clock.skew)) {
		return fmt.Errorf("the LogoutRequest is of the future: its IssueInstant is %s, and it is %s", show(read.Issued), show(r.clock.now))
	}
	end, err := r.clock.before(root, "NotOnOrAfter")
	if err != nil {
		return err
	}
	most := longestLogout
	if end.IsZero() {
		most = undatedLogout
	}
	read.Expires = earlier(end, read.Issued.Add(most)).Add(r.clock.skew)
	if !r.clock.now.Before(read.Expires) {
		return fmt.Errorf("the LogoutRequest is too old: its IssueInstant is %s, and it is %s", show(read.Issued), show(r.clock.now))
	}
	return nil
}

func sessionIndexes(root *etree.Element) ([]string, error) {
	var indexes []string
	for _, el := range children(root, nsProtocol, "SessionIndex") {
		index, err := valueText(el)
		if err != nil {
			return nil, err
		}
		if index == "" { // or else the request would end nothing, or everything
			return nil, errors.New("a SessionIndex is empty")
		}
		if len(indexes) == maxSessions {
			return nil, fmt.Errorf("the LogoutRequest has more than %d SessionIndexes", maxSessions)
		}
		indexes = append(indexes, index)
	}
	return indexes, nil
}
