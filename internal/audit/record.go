package audit

import (
	"strconv"
	"strings"
	"time"
)

// Version is the version of the records' format. Members may be added within a version; none changes its meaning.
const Version = 1

// A Record is what the audit says about an event. Members that don't apply are absent. An output adds v, seq and stream before it, and
// prev and hash after it, see chain.
type Record struct {
	Time    time.Time `json:"time"`
	Type    Type      `json:"type"`
	Outcome Outcome   `json:"outcome"`
	Reason  Reason    `json:"reason,omitempty"`

	Actor      *Actor   `json:"actor,omitempty"`
	Client     string   `json:"client,omitempty"`
	Connector  string   `json:"connector,omitempty"`
	User       *User    `json:"user,omitempty"`
	TypedLogin string   `json:"typedLogin,omitempty"` // the name that somebody typed beside a password
	Login      string   `json:"login,omitempty"`      // the grant, which is also the family of its refresh tokens
	Session    string   `json:"session,omitempty"`    // of the browser
	Token      string   `json:"token,omitempty"`      // the jti
	Generation *uint64  `json:"generation,omitempty"` // of the refresh token: how often it was renewed before
	Grant      string   `json:"grant,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`

	Factor        *Factor        `json:"factor,omitempty"`
	Target        *Target        `json:"target,omitempty"`
	Change        string         `json:"change,omitempty"`
	Call          string         `json:"call,omitempty"` // of the management API
	Door          string         `json:"door,omitempty"` // grpc or rest
	Page          string         `json:"page,omitempty"` // whose error it was: device, logout or self-service
	Configuration *Configuration `json:"configuration,omitempty"`
	Attempts      int            `json:"attempts,omitempty"`
	Next          *time.Time     `json:"next,omitempty"` // rotation of keys

	Address   string `json:"address,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	Request   string `json:"request,omitempty"`
	Trace     string `json:"trace,omitempty"`

	Output string     `json:"output,omitempty"` // audit.started: the type of the output
	Server string     `json:"server,omitempty"` // audit.started: the version of Dex
	Count  int        `json:"count,omitempty"`  // audit.lost: how many records
	Since  *time.Time `json:"since,omitempty"`  // audit.lost: when the first of them was lost
}

// An Actor is who did something.
type Actor struct {
	Kind ActorKind `json:"kind"`
	Name string    `json:"name,omitempty"` // of an operator
}

// An ActorKind is what sort of actor did something.
type ActorKind string

// The kinds of actors.
const (
	ActorUser     ActorKind = "user"     // somebody in a browser, who may not have proved who they are
	ActorClient   ActorKind = "client"   // an application, which may not have authenticated
	ActorOperator ActorKind = "operator" // a caller of the management API
	ActorServer   ActorKind = "server"   // Dex itself
)

// A User is the person that a record is about.
type User struct {
	ID                string `json:"id,omitempty"` // as the connector knows them
	Name              string `json:"name,omitempty"`
	PreferredUsername string `json:"preferredUsername,omitempty"`
	Email             string `json:"email,omitempty"`
	EmailVerified     *bool  `json:"emailVerified,omitempty"`
	Groups            *int   `json:"groups,omitempty"` // how many
}

// A Factor is a second factor or a passkey.
type Factor struct {
	Method        string `json:"method,omitempty"`
	Authenticator string `json:"authenticator,omitempty"`
	Wrong         int    `json:"wrong,omitempty"` // codes in a row
	Codes         *int   `json:"codes,omitempty"` // recovery codes that the user has now
}

// A Target is what was changed or asked for.
type Target struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
}

// Configuration is how a configuration differs from the one before, by names alone.
type Configuration struct {
	Keys       []string `json:"keys,omitempty"`
	Clients    *Changes `json:"clients,omitempty"`
	Users      *Changes `json:"users,omitempty"`
	Connectors *Changes `json:"connectors,omitempty"`
}

// Changes are what has become of the entries of a list.
type Changes struct {
	Added   []string `json:"added,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Bounds of what a record holds. Strangers send some of it, and syslog servers cut long lines.
const (
	maxText  = 512 // bytes
	maxItems = 20
	maxItem  = 128 // bytes of an item of a list
)

// bound cuts what is too long.
func (r *Record) bound() {
	for _, text := range []*string{
		&r.Client, &r.Connector, &r.TypedLogin, &r.Login, &r.Session, &r.Grant, &r.Address, &r.UserAgent, &r.Call, &r.Change, &r.Token,
	} {
		*text = cut(*text, maxText)
	}
	r.Scopes = cutList(r.Scopes)
	if r.Actor != nil {
		r.Actor.Name = cut(r.Actor.Name, maxText)
	}
	if r.Target != nil {
		r.Target.ID = cut(r.Target.ID, maxText)
	}
	if u := r.User; u != nil {
		for _, text := range []*string{&u.ID, &u.Name, &u.PreferredUsername, &u.Email} {
			*text = cut(*text, maxText)
		}
	}
	if f := r.Factor; f != nil {
		f.Authenticator = cut(f.Authenticator, maxText)
	}
	if c := r.Configuration; c != nil {
		c.Keys = cutList(c.Keys)
		for _, list := range []*Changes{c.Clients, c.Users, c.Connectors} {
			if list != nil {
				list.Added, list.Changed, list.Removed = cutList(list.Added), cutList(list.Changed), cutList(list.Removed)
			}
		}
	}
}

// cut shortens a text that is longer than a number of bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

func cutList(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	shown := make([]string, 0, min(len(list), maxItems+1))
	for _, item := range list[:min(len(list), maxItems)] {
		shown = append(shown, cut(item, maxItem))
	}
	if more := len(list) - maxItems; more > 0 {
		shown = append(shown, strconv.Itoa(more)+" more")
	}
	return shown
}
