package login

import (
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/page"
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
		return page.Errorf(http.StatusServiceUnavailable, "The connector can't be used at the moment.").Because(err)
	}
	source, err := f.cfg.Connectors.Open(r.Context(), id)
	if errors.Is(err, federation.ErrUnknown) {
		return errNoMetadata()
	}
	if err != nil {
		return page.Errorf(http.StatusServiceUnavailable, "The connector can't be used at the moment.").Because(err)
	}
	publisher, ok := source.Instance.(connector.Metadata)
	if !ok {
		return errNoMetadata()
	}
	document, mediaType, err := publisher.Metadata(r.Context())
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "The document can't be made.").Because(err)
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(document) //nolint:gosec // G705: no HTML, and nothing of the request in it
	return nil
}

func errNoMetadata() error {
	return page.Errorf(http.StatusNotFound, "There is no such document here.")
}
