package expression

import "time"

// SetMaxTime sets how long loops may go on, and returns what undoes that.
func SetMaxTime(d time.Duration) (undo func()) {
	before := maxTime
	maxTime = d
	return func() { maxTime = before }
}
