package saml

import (
	"context"
	"fmt"

	"github.com/beevik/etree"
)

// Check refuses a document that other parsers might understand differently or that is longer than 2 MiB.
func Check(document []byte) error {
	_, err := parse(document)
	return err
}

// Signed returns what the signature of a document's root element covers, in canonical form, or nil if the root is not signed.
// It is for documents other than responses, such as metadata. Nothing else in the document may be trusted. An invalid
// signature is an error.
func (r *Reader) Signed(ctx context.Context, document []byte) ([]byte, error) {
	root, err := parse(document)
	if err != nil {
		return nil, err
	}
	covered, err := r.verify(ctx, root, r.clock().now)
	if covered == nil || err != nil {
		return nil, err
	}
	canonical, err := etree.NewDocumentWithRoot(covered.Copy()).WriteToBytes()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", covered.Tag, err)
	}
	return canonical, nil
}
