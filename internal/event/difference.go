package event

// A Difference is what has become of the entries of a list in the configuration, by their ids. A changed one is followed by the
// keys that have other values, never by the values.
type Difference struct{ Added, Changed, Removed []string }

// IsZero reports whether there is no difference.
func (d Difference) IsZero() bool { return len(d.Added)+len(d.Changed)+len(d.Removed) == 0 }
