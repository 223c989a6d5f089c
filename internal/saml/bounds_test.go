package saml_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

// Strangers can make us process responses that cost them nothing. These are small, but without bounds would take seconds, or
// more memory than there is.
func TestCostlyDocuments(t *testing.T) {
	p := newPeople(t)
	inStatus := func(content string) edit { return replace("<samlp:Status>", content+"<samlp:Status>") }
	around := func(open, content, end string, depth int) edit {
		return inStatus(strings.Repeat(open, depth) + content + strings.Repeat(end, depth))
	}
	usual := signer{who: p.provider}.sign("_response1")
	for _, document := range []bad{
		// The exclusive form declares a namespace wherever it is used: 400 KB become 80 MB, 2 MiB become 100 GB.
		{name: "namespace to be written out again and again",
			after: inTurn(replace("<samlp:Response ", `<samlp:Response xmlns:b="`+strings.Repeat("u", 400_000)+`" `), inStatus(strings.Repeat("<b:a/>", 200))),
			want:  "the names of namespaces have more than 8388608 bytes"},
		{name: "attributes' namespace to be written out again and again",
			after: inTurn(replace("<samlp:Response ", `<samlp:Response xmlns:b="`+strings.Repeat("u", 400_000)+`" `), inStatus(strings.Repeat(`<a b:a=""/>`, 200))),
			want:  "the names of namespaces have more than 8388608 bytes"},
		// The inclusive form copies a tree once for each level of it.
		{name: "wide and deep", after: around("<a>", strings.Repeat("<a/>", 40_000), "</a>", 40), want: "too many elements are deep within others"},
		{name: "wide in many namespaces", after: around("<a"+manyNamespaces(90)+">", strings.Repeat("<a/>", 40_000), "</a>", 1),
			want: "or within many namespaces"},
		{name: "what a prefix means is far to seek", after: around("<a"+manyAttributes(90)+">", strings.Repeat("<Signature/>", 40_000), "</a>", 40),
			want: "an element and those around it have more than 500 attributes"},
		{name: "attributes of one name", after: around("<a"+manyNamespaces(50)+">", strings.Repeat("<a"+prefixedAttributes(40)+"/>", 1000), "</a>", 1),
			want: "an element has more than 20 attributes with a prefix"},
		{name: "processing instructions", after: replace("<samlp:Response ", strings.Repeat("<?a?>", 1001)+"<samlp:Response "), want: "more than 1000 comments"},
		{name: "large SignedInfo", after: replace("<ds:DigestMethod ", strings.Repeat("<ds:x/>", 50)+"<ds:DigestMethod "),
			want: "SignedInfo has more than 50 elements"},
		{name: "many certificates", after: onTree(manyStrangers(p)), want: "it names a certificate that is not configured"},
	} {
		document.sign = usual
		t.Run(document.name, func(t *testing.T) { document.isRefused(t, p) })
	}
}

func prefixedAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` n0:k%d=""`, i)
	}
	return b.String()
}

// manyStrangers puts other certificates before the right one.
func manyStrangers(p *people) func(testing.TB, *etree.Element) {
	return func(t testing.TB, root *etree.Element) {
		t.Helper()
		data := named(t, root, "ds:X509Data")
		other := named(t, named(t, onlySignature(t, signer{who: p.stranger}), "ds:X509Data"), "ds:X509Certificate")
		for range 20 {
			data.InsertChildAt(0, other.Copy())
		}
	}
}

// onlySignature returns the signature of an element that is not a response.
func onlySignature(t testing.TB, s signer) *etree.Element {
	t.Helper()
	document := etree.NewDocument()
	if err := document.ReadFromString(`<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_response1"/>`); err != nil {
		t.Fatal(err)
	}
	return s.signature(t, document.Root(), "_response1")
}

// Comments between parts of a text were removed one by one, each at the cost of all that follow.
func TestManyComments(t *testing.T) {
	p := newPeople(t)
	many := replace(">alice@", ">"+strings.Repeat("<!---->", 900)+strings.Repeat("<!-- --><![CDATA[a]]>", 90)+"lice@")
	document := inTurn(many, signer{who: p.provider}.sign("_assertion1"))(t, plainResponse)
	read, err := reader(p).Read(t.Context(), []byte(document), request)
	if err != nil || read.NameID.Value != strings.Repeat("a", 90)+"lice@example.org" {
		t.Errorf("it is %+v, %v", read, err)
	}
}
