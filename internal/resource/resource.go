// Package resource reads clients, users and connectors that people write as custom resources of a Kubernetes cluster: DexClient,
// DexUser and DexConnector. Each becomes what an entry of the configuration file would be, and its status says whether it is in use,
// and if not, why.
//
// Connectors and users come from Dex's own namespace only, as they decide who people are. Clients may come from other namespaces
// too. What those may say is bounded, see tenant.go: whoever may write there must not get power over the clients of others.
package resource

import (
	"encoding/json"
	"time"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/kubeapi"
)

const (
	group   = "config.dex.coreos.com"
	version = "v1alpha1"
)

// A kind is one of the custom resources.
type kind struct {
	plural, singular string
	what             string // in messages
	record           string // the kind of the record that it stands for
	// tenants says that other namespaces than Dex's own may have it.
	tenants bool
}

var (
	clients    = &kind{"dexclients", "dexclient", "client", client.Kind.Name(), true}
	users      = &kind{"dexusers", "dexuser", "user", local.Kind.Name(), false}
	connectors = &kind{"dexconnectors", "dexconnector", "connector", federation.Kind.Name(), false}

	kinds = []*kind{clients, users, connectors}
)

func (k *kind) in(namespace string) kubeapi.Collection {
	return kubeapi.Collection{Group: group, Version: version, Namespace: namespace, Resource: k.plural}
}

// An object is one custom resource, as the API server has it. It is never changed.
type object struct {
	Metadata metadata        `json:"metadata"`
	Spec     json.RawMessage `json:"spec"`
	Status   status          `json:"status"`

	kind *kind
	home bool // it is in Dex's own namespace
}

type metadata struct {
	Name              string    `json:"name"`
	Namespace         string    `json:"namespace"`
	UID               string    `json:"uid"`
	ResourceVersion   string    `json:"resourceVersion"`
	Generation        int64     `json:"generation"` // grows with each change of the spec
	CreationTimestamp time.Time `json:"creationTimestamp"`
	DeletionTimestamp string    `json:"deletionTimestamp"`
}

// path names the object in messages.
func (o *object) path() string {
	return o.kind.singular + " " + o.Metadata.Namespace + "/" + o.Metadata.Name
}

// size returns about how much memory the object takes, in bytes.
func (o *object) size() int {
	n := len(o.Spec) + len(o.Status.ID)
	for _, c := range o.Status.Conditions {
		n += len(c.Type) + len(c.Status) + len(c.Reason) + len(c.Message) + len(c.LastTransitionTime)
	}
	return n
}

// A status is what the server says of an object.
type status struct {
	ObservedGeneration int64       `json:"observedGeneration"` // the generation that the rest is about
	ID                 string      `json:"id"`                 // what it is known by to applications, or signs in with
	Conditions         []condition `json:"conditions"`
}

type condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"` // True or False
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration"`
	LastTransitionTime string `json:"lastTransitionTime"` // of Status
}

// ready is the type of the condition that tells whether the object is in use.
const ready = "Ready"

// Reasons of the condition. All but the first mean that the object is not in use.
const (
	reasonAccepted   = "Accepted"
	reasonInvalid    = "Invalid"    // the spec has a mistake
	reasonNotAllowed = "NotAllowed" // it says something that only Dex's own namespace may
	reasonConflict   = "Conflict"   // its id is another one's
	reasonSecret     = "SecretNotUsable"
	reasonDisabled   = "Disabled" // the configuration does without what it is for
)

// A verdict is what came of an object.
type verdict struct {
	object *object
	// key is that of the record that it stands for; empty where the spec is too broken to tell.
	key, shown   string // shown is the key as it was written
	reason       string
	message      string
	awaitsSecret bool
	client       *client.Client
	user         *local.User
	definition   *federation.Definition
	revision     string
}

func (v *verdict) ok() bool { return v.reason == reasonAccepted }

// refuse takes the object out of use.
func (v *verdict) refuse(reason, message string) {
	v.reason, v.message = reason, message
	v.client, v.user, v.definition = nil, nil, nil
}
