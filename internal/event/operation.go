package event

import "time"

// SourceAsked says how an attempt ended to learn from a connector who somebody is.
type SourceAsked struct {
	ConnectorID string
	Operation   string // what for, as in metrics
	Outcome     string // likewise
}

// ConnectorFailed says that a connector began to fail.
type ConnectorFailed struct {
	ConnectorID, Type string
	Opening           bool // it can't even be opened
	Err               error
}

// AllConnectorsFail says that the last connector that had worked fails too.
type AllConnectorsFail struct{}

// ConnectorRecovered says that a connector works again.
type ConnectorRecovered struct {
	ConnectorID, Type string
	Failures          int // in a row
	Since             time.Time
}

// KeysRotated says that another key signs tokens now.
type KeysRotated struct{ Next time.Time }

// Swept says that records were removed that had expired.
type Swept struct {
	Kind    string
	Removed int
	Took    time.Duration
}

func (SourceAsked) event()        {}
func (ConnectorFailed) event()    {}
func (AllConnectorsFail) event()  {}
func (ConnectorRecovered) event() {}
func (KeysRotated) event()        {}
func (Swept) event()              {}
