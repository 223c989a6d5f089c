package event

// Changed says that somebody has changed, through the management API, what the storage has.
type Changed struct {
	By   string // the name of the caller
	How  Change
	Kind string // client, user, connector, login, session, identity, factor
	ID   string
}

// A Change is what became of something; its text is for the log.
type Change string

// What becomes of things.
const (
	Created       Change = "created"
	Updated       Change = "updated"
	Deleted       Change = "deleted"
	SecretRotated Change = "secret rotated"
	Blocked       Change = "blocked"
	Unblocked     Change = "unblocked"
	Unlocked      Change = "unlocked"
)

// CallEnded says how a call of the management API has ended.
type CallEnded struct {
	By     string // the name of the caller; empty if nobody knows who it was
	Door   string // grpc or rest
	Call   string // as the door names it
	Err    error  // nil if it succeeded
	Denied bool   // nobody knows who called, or the caller's roles don't allow it
}

func (Changed) event()   {}
func (CallEnded) event() {}
