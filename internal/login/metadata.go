package login

import (
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
)

// Metadata is the document that tells a connector's provider about us.
func (f *Flow) Metadata() http.Handler { return f.serve(f.metadata) }

func (f *Flow) metadata(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("connector")
	known, err := f.cfg.Connectors.Knows(r.Context(), id)
	if err == nil && !known {
		return errNoMetadata()
	}
	if err != nil {
		return pageErrorf(http.StatusServiceUnavailable, "The connector can't be used at the moment.").because(err)
	}
	source, err := f.cfg.Connectors.Open(r.Context(), id)
	if errors.Is(err, federation.ErrUnknown) {
		return errNoMetadata()
	}
	if err != nil {
		return pageErrorf(http.StatusServiceUnavailable, "The connector can't be used at the moment.").because(err)
	}
	publisher, ok := source.Instance.(connector.Metadata)
	if !ok {
		return errNoMetadata()
	}
	document, mediaType, err := publisher.Metadata(r.Context())
	if err != nil {
		return pageErrorf(http.StatusInternalServerError, "The document can't be made.").because(err)
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(document) //nolint:gosec // G705: no HTML, and nothing of the request in it
	return nil
}

func errNoMetadata() error {
	return pageErrorf(http.StatusNotFound, "No connector of this name has a document to show.")
}
