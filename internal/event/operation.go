package event

import "time"

// SourceAsked says how an attempt to learn from a connector who somebody is has ended.
type SourceAsked struct {
	ConnectorID string
	Operation   string        // a federation.Operation
	Outcome     string        // a connector.Outcome
	Took        time.Duration // 0 where it was not asked after all
}

// ConnectorFailed says that a connector has begun to fail.
type ConnectorFailed struct {
	ConnectorID, Type string
	Opening           bool // it can't be opened
	Err               error
}

// AllConnectorsFail says that the last working connector has begun to fail.
type AllConnectorsFail struct{}

// ConnectorRecovered says that a connector works again.
type ConnectorRecovered struct {
	ConnectorID, Type string
	Failures          int // in a row
	Since             time.Time
}

// ConfigurationApplied says that another configuration is in force.
type ConfigurationApplied struct {
	Clients, Users                                    int // configured
	ConnectorsAdded, ConnectorsKept, ConnectorsClosed int

	Changed                                      []string // keys outside of the lists
	ClientChanges, UserChanges, ConnectorChanges Difference
}

// KeysRotated says that a new key signs tokens from now on.
type KeysRotated struct{ Next time.Time }

// Swept says that expired records were removed.
type Swept struct {
	Kind    string
	Removed int
	Took    time.Duration
}

func (SourceAsked) event()          {}
func (ConnectorFailed) event()      {}
func (AllConnectorsFail) event()    {}
func (ConnectorRecovered) event()   {}
func (ConfigurationApplied) event() {}
func (KeysRotated) event()          {}
func (Swept) event()                {}
