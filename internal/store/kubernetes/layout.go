package kubernetes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dex/internal/kubeapi"
	"dex/internal/store"
)

const (
	group        = "dex.coreos.com"
	version      = "v1"
	groupVersion = group + "/" + version
	// recordLabel is on the objects of our own records, and on no other. Its value is the kind.
	recordLabel = group + "/record"
	// ownerLabel holds a hash of the owner, on those that have one.
	ownerLabel = group + "/owner"
)

// A resource is one of upstream's custom resources.
type resource struct {
	plural, singular, kind string
}

// in returns the objects of the resource in the namespace of a client.
func (r resource) in(c *kubeapi.Client) kubeapi.Collection {
	return kubeapi.Collection{Group: group, Version: version, Namespace: c.Namespace(), Resource: r.plural}
}

var (
	authCodes       = resource{"authcodes", "authcode", "AuthCode"}
	authRequests    = resource{"authrequests", "authrequest", "AuthRequest"}
	clients         = resource{"oauth2clients", "oauth2client", "OAuth2Client"}
	signingKeys     = resource{"signingkeies", "signingkey", "SigningKey"}
	refreshTokens   = resource{"refreshtokens", "refreshtoken", "RefreshToken"}
	passwords       = resource{"passwords", "password", "Password"}
	offlineSessions = resource{"offlinesessionses", "offlinesessions", "OfflineSessions"}
	connectors      = resource{"connectors", "connector", "Connector"}
)

// used are the resources that must be there. Upstream has more of them, which we don't need.
var used = []resource{
	authCodes, authRequests, clients, signingKeys, refreshTokens, passwords, offlineSessions, connectors,
}

// optional are resources that only upstream's development versions have, and that are only read.
var optional = []resource{
	{"useridentities", "useridentity", "UserIdentity"}, {"authsessions", "authsession", "AuthSession"},
}

// homes are the resources of those of our own records that don't live in otherKinds. Upstream's roles allow upstream's
// resources only. Clusters hold records that were put there, so no kind may move.
var homes = map[string]resource{
	"code": authCodes, "refresh": refreshTokens, "offline": offlineSessions, "seal": signingKeys,
}

// otherKinds is the resource of our own records of every kind without a home, such as one that is new.
var otherKinds = authRequests

// resourceOf returns the resource that our own records of a kind live in.
func resourceOf(kind string) resource {
	if home, ok := homes[kind]; ok {
		return home
	}
	return otherKinds
}

// kindsIn returns the kinds that have a place in a resource: first the one whose records are the resource's objects, then
// those of our own records there. It says nothing of otherKinds, where any kind may be.
func kindsIn(r resource) []string {
	var kinds []string
	for kind, shared := range sharedKinds {
		if shared.resource == r {
			kinds = append(kinds, kind)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(homes)) {
		if homes[kind] == r {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// checkKinds finds kinds that say that they are upstream's objects, and have no place as such here, or the reverse: their
// records would be somewhere else than people look for them.
func checkKinds() error {
	for _, f := range store.Kinds() {
		if _, shared := sharedKinds[f.Name]; shared != (f.Kubernetes != store.OwnObject) {
			return fmt.Errorf("kind %s: whether it is upstream's object is said differently by its room and by the layout", f.Name)
		}
	}
	return nil
}

// expiring reports whether upstream reads the member "expiry" of a resource's objects, and deletes those that have expired.
func (r resource) expiring() bool { return r == authCodes || r == authRequests }

// A sharedKind is a kind whose records are upstream's own objects, under upstream's names and with upstream's members,
// because people, charts and operators work with them.
type sharedKind struct {
	resource resource
	// name returns the name of the object with a key; false says that none can have it.
	name func(key string) (string, bool)
	// identity is the member that holds the key; empty where the name of the object is all that there is.
	identity string
	// fold is how upstream compares the identity.
	fold func(string) string
	// members are those that our documents may have. When a document leaves one out, it goes from the object too; all
	// others stay as they are.
	members []string
}

var sharedKinds = map[string]*sharedKind{
	"client": {
		resource: clients, name: encode, identity: "id", fold: asIs,
		members: []string{
			"id", "secret", "redirectURIs", "trustedPeers", "public", "name", "logoURL", "allowedConnectors", "mfaChain",
			"postLogoutRedirectURIs", "ssoSharedWith", "backchannelLogoutURI", "refreshTokenLifetime",
			"clientCredentialsClaims", "previousSecret", "grantTypes", "logoutWithoutConfirmation", "backchannelLogoutSessionRequired",
			"frontchannelLogoutURI", "frontchannelLogoutSessionRequired", "tokens",
			"allowedGroups", "deniedGroups", "allowedEmails", "allowedEmailDomains", "allowedScopes", "groups", "authPolicy", "tokenPolicy",
		},
	},
	"password": {
		resource: passwords, name: encodeLower, identity: "email", fold: strings.ToLower,
		members: []string{
			"email", "hash", "username", "name", "preferredUsername", "emailVerified", "userID", "groups",
		},
	},
	"connector": {
		resource: connectors, name: sameName, identity: "id", fold: asIs,
		members: []string{
			"id", "type", "name", "config", "grantTypes", "names", "logoURL", "order", "hidden", "domains", "mfaChain",
			"trustedMFA", "allowedDomains", "requireGroups", "groups", "authPolicy", "tokenPolicy",
		},
	},
	"keys": {
		resource: signingKeys, name: sameName, fold: asIs,
		members: []string{
			"signingKey", "signingKeyPub", "verificationKeys", "nextRotation", "nextSigningKey", "nextSigningKeySince",
			"sealed", // in place of all others where the operator has a key for the storage
		},
	},
}

func asIs(text string) string { return text }

func sameName(key string) (string, bool) { return key, kubeapi.ValidName(key) }

// encodeLower is encode for keys that are in lower case, as all of them are: another one has no object.
func encodeLower(key string) (string, bool) {
	if key != strings.ToLower(key) {
		return "", false
	}
	return encode(key)
}

// key returns the key of an object; false says that an object of this name can't be found by any.
func (k *sharedKind) key(name string, members map[string]json.RawMessage) (string, bool) {
	if k.identity == "" {
		return name, true
	}
	var identity string
	if json.Unmarshal(members[k.identity], &identity) != nil {
		return "", false
	}
	key := k.fold(identity)
	encoded, ok := k.name(key)
	return key, ok && encoded == name
}

// A place is where the record of a key is.
type place struct {
	resource resource
	name     string
	shared   *sharedKind // nil for our own records
}

// placeOf returns the place of a record; false says that no record can have the key.
func placeOf(kind, key string) (place, bool) {
	if kind == "" || len(kind) > store.MaxKey || key == "" || len(key) > store.MaxKey {
		return place{}, false
	}
	if shared := sharedKinds[kind]; shared != nil {
		name, ok := shared.name(key)
		return place{shared.resource, name, shared}, ok
	}
	return place{resourceOf(kind), recordName(kind, key), nil}, true
}
