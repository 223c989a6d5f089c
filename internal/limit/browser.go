package limit

import "context"

type browserKey struct{}

// FromKnownBrowser returns the context of an attempt at a user from a browser in which that user has signed in before, which has
// a random id. Such attempts are counted for the browser and the user alone, so strangers at the same address or
// elsewhere can't lock the user out. The caller has to know for certain that the browser and the user belong together.
func FromKnownBrowser(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, browserKey{}, id)
}

// knownBrowser returns the id of the known browser that an attempt comes from; empty for none.
func knownBrowser(ctx context.Context) string {
	id, _ := ctx.Value(browserKey{}).(string)
	return id
}
