package saml_test

import (
	"testing"

	"github.com/beevik/etree"
)

// The signature wrapping attacks, by the numbers that they have in the literature ("On Breaking SAML: Be Whoever You Want to
// Be", Somorovsky and others, 2012, and the tools that came after it). Each takes a document that is validly signed, and has
// both what was signed and what the attacker says.

// evil returns a copy of a signed element that says what the attacker wants, without a signature.
func evil(t testing.TB, el *etree.Element) *etree.Element {
	t.Helper()
	forged := unsigned(el)
	forged.CreateAttr("ID", "_evil")
	if forged.Tag == "Response" {
		named(t, forged, "saml:Assertion").CreateAttr("ID", "_evilassertion")
	}
	named(t, forged, "saml:NameID").SetText("admin@example.org")
	return forged
}

// unsigned returns a copy of an element without its signature.
func unsigned(el *etree.Element) *etree.Element {
	copied := el.Copy()
	if signature := copied.SelectElement("ds:Signature"); signature != nil {
		copied.RemoveChild(signature)
	}
	return copied
}

// becomeEvil does to an element in place what evil does to a copy. Its signature stays.
func becomeEvil(t testing.TB, el *etree.Element) {
	t.Helper()
	el.CreateAttr("ID", "_evil")
	if el.Tag == "Response" {
		named(t, el, "saml:Assertion").CreateAttr("ID", "_evilassertion")
	}
	named(t, el, "saml:NameID").SetText("admin@example.org")
}

var (
	xsw1 = onTree(func(t testing.TB, root *etree.Element) {
		original := unsigned(root)
		becomeEvil(t, root)
		named(t, root, "ds:Signature").AddChild(original)
	})
	xsw2 = onTree(func(t testing.TB, root *etree.Element) {
		original := unsigned(root)
		becomeEvil(t, root)
		root.InsertChildAt(named(t, root, "ds:Signature").Index(), original)
	})
	xsw3 = onTree(func(t testing.TB, root *etree.Element) {
		assertion := named(t, root, "saml:Assertion")
		root.InsertChildAt(assertion.Index(), evil(t, assertion))
	})
	xsw4 = onTree(func(t testing.TB, root *etree.Element) {
		assertion := named(t, root, "saml:Assertion")
		forged := evil(t, assertion)
		root.InsertChildAt(assertion.Index(), forged)
		root.RemoveChild(assertion)
		forged.AddChild(assertion)
	})
	xsw5 = onTree(func(t testing.TB, root *etree.Element) {
		assertion := named(t, root, "saml:Assertion")
		original := unsigned(assertion)
		becomeEvil(t, assertion)
		root.AddChild(original)
	})
	xsw6 = onTree(func(t testing.TB, root *etree.Element) {
		assertion := named(t, root, "saml:Assertion")
		original := unsigned(assertion)
		becomeEvil(t, assertion)
		named(t, assertion, "ds:Signature").AddChild(original)
	})
	xsw7 = onTree(func(t testing.TB, root *etree.Element) {
		assertion := named(t, root, "saml:Assertion")
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(evil(t, assertion))
		root.InsertChildAt(assertion.Index(), extensions)
	})
	xsw8 = onTree(func(t testing.TB, root *etree.Element) {
		assertion := named(t, root, "saml:Assertion")
		original := unsigned(assertion)
		becomeEvil(t, assertion)
		object := named(t, assertion, "ds:Signature").CreateElement("ds:Object")
		object.AddChild(original)
	})
	// moveSignature makes the assertion's signature the whole response's.
	moveSignature = onTree(func(t testing.TB, root *etree.Element) {
		signature := named(t, root, "ds:Signature")
		signature.Parent().RemoveChild(signature)
		root.InsertChildAt(1, signature)
	})
	// signatureOfStatus hides the signed assertion's signature in an element of the response.
	signatureOfStatus = onTree(func(t testing.TB, root *etree.Element) {
		signature := named(t, root, "ds:Signature")
		signature.Parent().RemoveChild(signature)
		named(t, root, "samlp:Status").AddChild(signature)
	})
	twoSignatures = onTree(func(t testing.TB, root *etree.Element) {
		signature := named(t, root, "ds:Signature")
		signature.Parent().InsertChildAt(1, signature.Copy())
	})
	objectInSignature = onTree(func(t testing.TB, root *etree.Element) {
		named(t, root, "ds:Signature").CreateElement("ds:Object")
	})
)

// nineKeys repeats the encrypted key.
func nineKeys(t testing.TB, root *etree.Element) {
	t.Helper()
	key := named(t, root, "xenc:EncryptedKey")
	for range 8 {
		key.Parent().AddChild(key.Copy())
	}
}
