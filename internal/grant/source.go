package grant

import (
	"context"
	"errors"
	"fmt"

	"dex/internal/federation"
)

// notOpened returns what the client is told of a source that could not be opened.
func notOpened(ctx context.Context, r *federation.Registry, connectorID string, op federation.Operation, err error) error {
	if errors.Is(err, federation.ErrDown) {
		return sourceFailed(r.NotAsked(ctx, connectorID, op, err))
	}
	return fmt.Errorf("open connector: %w", err)
}

// sourceFailed returns what the client is told of a source that did not say who the user is.
func sourceFailed(err error) error {
	if failure, ok := errors.AsType[*federation.Failure](err); ok {
		return failure.Answer()
	}
	return err
}
