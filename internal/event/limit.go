package event

// LimitReached says that somebody was refused, or has to slow down, because a limit was reached. It comes once for each
// refusal, so that a storm of guesses is a storm of these. Who was refused is in the event of the room that answers.
type LimitReached struct{ Limit Limit }

// A Limit is what there was too much of; its text is a label of metrics.
type Limit string

// The limits, see docs/limits.md.
const (
	LimitUser           Limit = "user"            // wrong passwords and codes of one user, from one address
	LimitBrowser        Limit = "known_browser"   // wrong passwords and codes of one user, from one browser that has signed them in
	LimitAddress        Limit = "address"         // wrong passwords, codes and passkeys of all users, from one address
	LimitClient         Limit = "client"          // wrong secrets of one client, from one address
	LimitUnknownClients Limit = "unknown_clients" // unknown client ids, from one address
	LimitUserCodes      Limit = "user_codes"      // wrong user codes of devices, from one address
	LimitDeviceRequests Limit = "device_requests" // requests for device codes, from one address
	LimitPolls          Limit = "polls"           // polling by devices at one address
	LimitPollsOfCode    Limit = "polls_of_code"   // polling with one device code
	LimitMails          Limit = "mails"           // mails asked for from one address
	LimitMailsTo        Limit = "mails_to"        // mails to one e-mail address
	LimitRequests       Limit = "requests"        // requests of strangers being served at once
)

func (LimitReached) event() {}
