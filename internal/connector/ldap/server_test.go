package ldap_test

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// entry is one of a test server's entries. Attributes keep the spelling that they have here, whatever is asked for.
type entry struct {
	dn         string
	attributes map[string][]string
	password   string
	refusal    string // the diagnostic message of a bind with the right password
}

// server is a minimal LDAP server: simple binds, and searches without controls.
type server struct {
	t        *testing.T
	listener net.Listener

	mu       sync.Mutex
	entries  []entry
	alike    func(have, asked string) bool    // how values are compared; nil for regardless of case
	hidden   string                           // an attribute that is never returned
	fault    func(base, filter string) uint16 // the result code of a search
	searches []search                         // of entries, in the order of their arrival
	binds    []string
	conns    int
}

// search is what a client asked for.
type search struct {
	base, filter string
	attributes   []string
}

// serve starts a server on a free port, with TLS if there is a config for it.
func serve(t *testing.T, config *tls.Config, entries ...entry) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	s := &server{t: t, listener: l, entries: entries}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.note(func() { s.conns++ })
			all.Go(func() { s.talk(c) })
			t.Cleanup(func() { _ = c.Close() })
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return s
}

func (s *server) host() string { return s.listener.Addr().String() }

func (s *server) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// change replaces the entries.
func (s *server) change(entries ...entry) { s.note(func() { s.entries = entries }) }

// asked returns the filters of the searches below a base.
func (s *server) asked(base string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var filters []string
	for _, search := range s.searches {
		if search.base == base {
			filters = append(filters, search.filter)
		}
	}
	return filters
}

func (s *server) talk(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		message, err := ber.ReadPacket(c)
		if err != nil || len(message.Children) < 2 {
			return
		}
		id, request := message.Children[0].Value.(int64), message.Children[1]
		var answers []*ber.Packet
		switch request.Tag {
		case goldap.ApplicationBindRequest:
			answers = s.bind(request)
		case goldap.ApplicationSearchRequest:
			answers = s.search(request)
		default: // unbind, and what the client never sends
			return
		}
		for _, a := range answers {
			envelope := ber.NewSequence("")
			envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
			envelope.AppendChild(a)
			if _, err := c.Write(envelope.Bytes()); err != nil {
				return
			}
		}
	}
}

func (s *server) bind(request *ber.Packet) []*ber.Packet {
	dn, password := request.Children[1].Value.(string), request.Children[2].Data.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.binds = append(s.binds, dn)
	answer := func(code uint16, diagnosis string) []*ber.Packet {
		return []*ber.Packet{result(goldap.ApplicationBindResponse, code, diagnosis)}
	}
	if dn == "" && password == "" {
		return answer(goldap.LDAPResultSuccess, "")
	}
	i := slices.IndexFunc(s.entries, func(e entry) bool { return e.dn == dn })
	switch {
	case i < 0 || s.entries[i].password == "" || s.entries[i].password != password:
		return answer(goldap.LDAPResultInvalidCredentials, "")
	case s.entries[i].refusal != "":
		return answer(goldap.LDAPResultInvalidCredentials, s.entries[i].refusal)
	default:
		return answer(goldap.LDAPResultSuccess, "")
	}
}

func (s *server) search(request *ber.Packet) []*ber.Packet {
	const done = goldap.ApplicationSearchResultDone
	base, scope := request.Children[0].Value.(string), request.Children[1].Value.(int64)
	limit, filter := request.Children[3].Value.(int64), request.Children[6]
	text, err := goldap.DecompileFilter(filter)
	if err != nil {
		return []*ber.Packet{result(done, goldap.LDAPResultProtocolError, err.Error())}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if base == "" {
		return []*ber.Packet{found(entry{}, nil), result(done, goldap.LDAPResultSuccess, "")}
	}
	asked := search{base: base, filter: text}
	for _, a := range request.Children[7].Children {
		asked.attributes = append(asked.attributes, a.Value.(string))
	}
	s.searches = append(s.searches, asked)
	if s.fault != nil {
		if code := s.fault(base, text); code != goldap.LDAPResultSuccess {
			return []*ber.Packet{result(done, code, "")}
		}
	}
	var answers []*ber.Packet
	for _, e := range s.entries {
		if !below(e.dn, base, scope) || !e.matches(filter, s.alike) {
			continue
		}
		if limit > 0 && int64(len(answers)) == limit {
			return append(answers, result(done, goldap.LDAPResultSizeLimitExceeded, ""))
		}
		answers = append(answers, found(e, slices.DeleteFunc(slices.Clone(asked.attributes), func(a string) bool { return a == s.hidden })))
	}
	return append(answers, result(done, goldap.LDAPResultSuccess, ""))
}

func below(dn, base string, scope int64) bool {
	child, err := goldap.ParseDN(dn)
	parent, err2 := goldap.ParseDN(base)
	return err == nil && err2 == nil && parent.AncestorOfFold(child) &&
		(scope == goldap.ScopeWholeSubtree || len(child.RDNs) == len(parent.RDNs)+1)
}

// value returns the values of an attribute, in any spelling.
func (e entry) values(name string) []string {
	for k, values := range e.attributes {
		if strings.EqualFold(k, name) {
			return values
		}
	}
	return nil
}

// matches evaluates a filter. The matching rule in chain tests equality with the entry's attribute name/chain.
func (e entry) matches(filter *ber.Packet, alike func(have, asked string) bool) bool {
	if alike == nil {
		alike = strings.EqualFold
	}
	matches := func(p *ber.Packet) bool { return e.matches(p, alike) }
	has := func(attribute, value string) bool {
		return slices.ContainsFunc(e.values(attribute), func(v string) bool { return alike(v, value) })
	}
	switch filter.Tag {
	case goldap.FilterAnd:
		return !slices.ContainsFunc(filter.Children, func(p *ber.Packet) bool { return !matches(p) })
	case goldap.FilterOr:
		return slices.ContainsFunc(filter.Children, matches)
	case goldap.FilterNot:
		return !matches(filter.Children[0])
	case goldap.FilterPresent:
		return strings.EqualFold(filter.Data.String(), "objectClass") || len(e.values(filter.Data.String())) > 0
	case goldap.FilterEqualityMatch:
		return has(filter.Children[0].Value.(string), filter.Children[1].Value.(string))
	case goldap.FilterExtensibleMatch:
		return filter.Children[0].Data.String() == "1.2.840.113556.1.4.1941" &&
			has(filter.Children[1].Data.String()+"/chain", filter.Children[2].Data.String())
	default:
		return false
	}
}

func found(e entry, asked []string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(octets(e.dn))
	list := ber.NewSequence("")
	for name, values := range e.attributes {
		if !slices.ContainsFunc(asked, func(a string) bool { return strings.EqualFold(a, strings.Split(name, ";")[0]) }) {
			continue
		}
		attribute := ber.NewSequence("")
		attribute.AppendChild(octets(name))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range values {
			set.AppendChild(octets(v))
		}
		attribute.AppendChild(set)
		list.AppendChild(attribute)
	}
	p.AppendChild(list)
	return p
}

func result(tag ber.Tag, code uint16, diagnosis string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	p.AppendChild(octets(""))
	p.AppendChild(octets(diagnosis))
	return p
}

func octets(text string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, text, "")
}
