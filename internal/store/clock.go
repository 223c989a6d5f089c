package store

import "time"

const (
	// ClockSkew is how far the clocks of two replicas of one storage may differ without ending anybody's login.
	ClockSkew = 2 * time.Minute
	// UsualSkew is how far they differ where time is kept as usual.
	UsualSkew = 5 * time.Second
)
