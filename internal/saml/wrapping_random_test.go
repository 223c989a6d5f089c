package saml_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	dsig "github.com/russellhaering/goxmldsig"

	"dex/internal/saml"
)

var wrappings = flag.Int("wrappings", 2000, "how many documents TestRandomWrapping makes")

// Wrapping attacks that nobody has thought of: elements of signed responses are copied and moved anywhere, and copies say what
// the attacker wants. Every result is refused or means what was signed.
func TestRandomWrapping(t *testing.T) {
	p := newPeople(t)
	usual := signer{who: p.provider}
	inclusive := signer{who: p.provider, canonicalizer: dsig.MakeC14N10RecCanonicalizer()}
	encrypt := encrypter{key: &p.service.PublicKey}.encrypt("saml:Assertion", "saml:EncryptedAssertion")
	var documents []string
	for _, sign := range []edit{
		usual.sign("_response1"), usual.sign("_assertion1"), signBoth(usual), inclusive.sign("_response1"), inclusive.sign("_assertion1"),
		inTurn(usual.sign("_assertion1"), encrypt), inTurn(encrypt, usual.sign("_response1")), inTurn(usual.sign("_assertion1"), encrypt, usual.sign("_response1")),
	} {
		documents = append(documents, sign(t, plainResponse))
	}
	r := reader(p)
	r.Accept = saml.Tolerance{SignatureObjects: true, SignatureIDs: true, ResponseIssuer: true}
	want, err := r.Read(t.Context(), []byte(documents[0]), request)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, uint64(*wrappings)))
	taken := 0
	for range *wrappings {
		document := etree.NewDocument()
		if err := document.ReadFromString(documents[random.IntN(len(documents))]); err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(4) {
			rearrange(random, document.Root())
		}
		text, err := document.WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		read, err := r.Read(t.Context(), []byte(text), request)
		if err != nil {
			continue
		}
		taken++
		if diff := cmp.Diff(want, read, cmpopts.IgnoreFields(saml.Assertion{}, "ResponseID", "Warnings")); diff != "" {
			t.Fatalf("something else is read: %s\n%s", diff, text)
		}
	}
	if taken == 0 {
		t.Error("nothing was taken, so nothing was attacked")
	}
}

// rearrange does one thing to an element somewhere.
func rearrange(random *rand.Rand, root *etree.Element) {
	all := append(root.FindElements("//*"), root)
	one, other := all[random.IntN(len(all))], all[random.IntN(len(all))]
	place := random.IntN(len(other.Child) + 1)
	switch random.IntN(8) {
	case 0:
		other.InsertChildAt(place, forge(random, one.Copy()))
	case 1:
		other.InsertChildAt(place, one.Copy())
	case 2:
		if parent := one.Parent(); parent != nil && one != root && !within(other, one) {
			parent.RemoveChild(one)
			other.InsertChildAt(min(place, len(other.Child)), one)
		}
	case 3:
		if parent := one.Parent(); parent != nil && one != root {
			wrapped := forge(random, one.Copy())
			parent.InsertChildAt(one.Index(), wrapped)
			parent.RemoveChild(one)
			wrapped.AddChild(one)
		}
	case 4:
		one.CreateAttr([]string{"ID", "Id", "id", "xmlns", "xmlns:saml", "xmlns:ds", "Algorithm", "URI", "PrefixList"}[random.IntN(9)],
			[]string{"_assertion1", "_response1", "_evil", "", "urn:oasis:names:tc:SAML:2.0:assertion", "http://www.w3.org/2000/09/xmldsig#"}[random.IntN(6)])
	case 5:
		if parent := one.Parent(); parent != nil && one != root {
			parent.RemoveChild(one)
		}
	case 6:
		one.InsertChildAt(random.IntN(len(one.Child)+1), etree.NewComment("admin@example.org"))
	case 7:
		one.Space, one.Tag = other.Space, other.Tag
	}
}

// forge makes a copy name the administrator, often under an ID of its own.
func forge(random *rand.Rand, el *etree.Element) *etree.Element {
	for _, part := range append(el.FindElements("//*"), el) {
		if part.Tag == "NameID" || part.Tag == "AttributeValue" {
			part.SetText("admin@example.org")
		}
		if part.SelectAttr("ID") != nil && random.IntN(4) > 0 {
			part.CreateAttr("ID", "_evil"+part.SelectAttrValue("ID", ""))
		}
	}
	return el
}

func within(el, around *etree.Element) bool {
	for ; el != nil; el = el.Parent() {
		if el == around {
			return true
		}
	}
	return false
}
