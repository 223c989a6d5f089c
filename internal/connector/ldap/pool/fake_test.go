package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

const (
	accountDN, accountPW = "cn=service,dc=example,dc=org", "service password"
	userDN, userPW       = "uid=jane,dc=example,dc=org", "user password"
)

// A fake is an LDAP server in this process. Its connections are pipes, so that tests need neither ports nor time.
type fake struct {
	mu sync.Mutex

	refuseDial bool
	silent     bool // takes requests and never answers
	dieAfter   int  // requests on each connection, then it breaks; 0 for never
	noPaging   bool
	endless    bool                  // sends empty pages without end
	refusePage func(size int) uint16 // the result code of the first page; nil for 0
	heedless   bool                  // of size limits
	entries    int                   // found by every search, except one of the root DSE
	search     uint16                // the result code of searches
	binds      map[string]bindAnswer

	conns            []net.Conn // open ones
	mostOpen, dialed int
	asked            []string // "bind DN", "search BASE"
	pageSizes        []int    // asked for
}

// A bindAnswer is the server's answer to a bind.
type bindAnswer struct {
	password string // "" for any
	code     uint16
	message  string
	controls []*ber.Packet
}

func newFake() *fake {
	return &fake{binds: map[string]bindAnswer{accountDN: {password: accountPW}, userDN: {password: userPW}}}
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// kill breaks all connections, and refuses new ones.
func (f *fake) kill() {
	f.set(func() {
		f.refuseDial = true
		for _, c := range f.conns {
			_ = c.Close()
		}
	})
}

func (f *fake) requests() (asked []string) {
	f.set(func() { asked, f.asked = f.asked, nil })
	return asked
}

func (f *fake) openNow() (n int) {
	f.set(func() { n = len(f.conns) })
	return n
}

func (f *fake) connect() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dialed++
	if f.refuseDial {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	f.conns = append(f.conns, server)
	f.mostOpen = max(f.mostOpen, len(f.conns))
	go f.serve(server)
	return client, nil
}

func (f *fake) serve(c net.Conn) {
	defer f.forget(c)
	for n := 1; ; n++ {
		packet, err := ber.ReadPacket(c)
		if err != nil || packet.Children[1].Tag == ldap.ApplicationUnbindRequest {
			return
		}
		f.mu.Lock()
		silent, die := f.silent, f.dieAfter > 0 && n > f.dieAfter
		f.mu.Unlock()
		switch {
		case die:
			return
		case silent:
			continue
		}
		for _, answer := range f.answer(packet) {
			if _, err := c.Write(answer.Bytes()); err != nil {
				return
			}
		}
	}
}

func (f *fake) forget(c net.Conn) {
	_ = c.Close()
	f.set(func() {
		for i := range f.conns {
			if f.conns[i] == c {
				f.conns = append(f.conns[:i:i], f.conns[i+1:]...)
				return
			}
		}
	})
}

func (f *fake) answer(packet *ber.Packet) []*ber.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, request := packet.Children[0].Value.(int64), packet.Children[1]
	text := func(i int) string { return ber.DecodeString(request.Children[i].Data.Bytes()) }
	if request.Tag == ldap.ApplicationBindRequest {
		dn, password := text(1), text(2)
		f.asked = append(f.asked, "bind "+dn)
		return []*ber.Packet{f.bindResult(id, dn, password)}
	}
	if request.Tag != ldap.ApplicationSearchRequest {
		return []*ber.Packet{result(id, ldap.ApplicationExtendedResponse, ldap.LDAPResultProtocolError, "what?")}
	}
	f.asked = append(f.asked, "search "+text(0))
	if text(0) == "" {
		return []*ber.Packet{f.rootDSE(id), result(id, ldap.ApplicationSearchResultDone, 0, "")}
	}
	var paging *ldap.ControlPaging
	if len(packet.Children) > 2 {
		control, _ := ldap.DecodeControl(packet.Children[2].Children[0])
		paging, _ = control.(*ldap.ControlPaging)
	}
	return f.found(id, request.Children[3].Value.(int64), paging)
}

func (f *fake) bindResult(id int64, dn, password string) *ber.Packet {
	answer, known := f.binds[dn]
	if dn == "" && password == "" {
		known = true
	}
	if !known || answer.password != "" && answer.password != password {
		answer = bindAnswer{code: ldap.LDAPResultInvalidCredentials}
	}
	return result(id, ldap.ApplicationBindResponse, answer.code, answer.message, answer.controls...)
}

func (f *fake) rootDSE(id int64) *ber.Packet {
	if f.noPaging {
		return entry(id, "", "supportedControl", "1.2.3")
	}
	return entry(id, "", "supportedControl", ldap.ControlTypePaging)
}

// found returns the entries of a search, or one page of them; the cookie is the number of the next entry.
func (f *fake) found(id, sizeLimit int64, paging *ldap.ControlPaging) (answers []*ber.Packet) {
	first, last, code := 0, f.entries, f.search
	var controls []*ber.Packet
	if paging != nil {
		f.pageSizes = append(f.pageSizes, int(paging.PagingSize))
		if f.refusePage != nil {
			if refusal := f.refusePage(int(paging.PagingSize)); refusal != 0 {
				return []*ber.Packet{result(id, ldap.ApplicationSearchResultDone, refusal, "pages are not for you")}
			}
		}
	}
	switch {
	case paging != nil && f.endless:
		last = 0
		next := ldap.NewControlPaging(0)
		next.SetCookie([]byte("more"))
		controls = append(controls, next.Encode())
	case paging != nil && !f.noPaging:
		_, _ = fmt.Sscan(string(paging.Cookie), &first)
		last = min(first+int(paging.PagingSize), f.entries)
		next := ldap.NewControlPaging(0)
		if last < f.entries {
			next.SetCookie([]byte(fmt.Sprint(last)))
		}
		controls = append(controls, next.Encode())
	case sizeLimit > 0 && int64(last) > sizeLimit && !f.heedless:
		last, code = int(sizeLimit), ldap.LDAPResultSizeLimitExceeded
	}
	for i := first; i < last; i++ {
		answers = append(answers, entry(id, fmt.Sprintf("uid=%d,dc=example,dc=org", i), "uid", fmt.Sprint(i)))
	}
	return append(answers, result(id, ldap.ApplicationSearchResultDone, code, "", controls...))
}

func envelope(id int64, operation *ber.Packet, controls ...*ber.Packet) *ber.Packet {
	p := ber.NewSequence("message")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, "id"))
	p.AppendChild(operation)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "controls")
		for _, c := range controls {
			all.AppendChild(c)
		}
		p.AppendChild(all)
	}
	return p
}

func result(id int64, operation ber.Tag, code uint16, message string, controls ...*ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, operation, nil, "result")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, uint64(code), "code"))
	p.AppendChild(octets(""))
	p.AppendChild(octets(message))
	return envelope(id, p, controls...)
}

func entry(id int64, dn, attribute string, values ...string) *ber.Packet {
	set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "values")
	for _, value := range values {
		set.AppendChild(octets(value))
	}
	one, all := ber.NewSequence("attribute"), ber.NewSequence("attributes")
	one.AppendChild(octets(attribute))
	one.AppendChild(set)
	all.AppendChild(one)
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "entry")
	p.AppendChild(octets(dn))
	p.AppendChild(all)
	return envelope(id, p)
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// control returns a control of an answer with a value.
func control(oid string, value []byte) *ber.Packet {
	p := ber.NewSequence("control")
	p.AppendChild(octets(oid))
	p.AppendChild(octets(string(value)))
	return p
}

// newPool returns a pool for the service account at fakes, whose hosts are a:389, b:389 and so on. The test closes it at its
// end.
func newPool(t *testing.T, change func(*Settings), fakes ...*fake) *Pool {
	t.Helper()
	s := Settings{BindDN: accountDN, BindPW: accountPW}
	for i := range fakes {
		s.Hosts = append(s.Hosts, string(rune('a'+i))+":389")
	}
	if change != nil {
		change(&s)
	}
	p := New(s)
	p.dial = func(_ context.Context, _, address string) (net.Conn, error) {
		return fakes[strings.Index("abcdef", address[:1])].connect()
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// people is a search that finds all entries of a fake.
func people() *ldap.SearchRequest {
	return ldap.NewSearchRequest("dc=example,dc=org", ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(uid=*)", []string{"uid"}, nil)
}

func mustSearch(t *testing.T, p *Pool, want int) {
	t.Helper()
	found, err := p.Search(t.Context(), people())
	if err != nil {
		t.Fatalf("search: %v", err)
	}
	if len(found.Entries) != want {
		t.Errorf("%d entries found, want %d", len(found.Entries), want)
	}
}
