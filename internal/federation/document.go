package federation

import "dex/internal/store"

// A Document is a connector in the storage, under its id. The members are those of upstream's custom resource Connector.
type Document struct {
	ID         string   `json:"id,omitempty"`
	Type       string   `json:"type,omitempty"`
	Name       string   `json:"name,omitempty"`
	Config     []byte   `json:"config,omitempty"` // JSON; variables in it are not expanded
	GrantTypes []string `json:"grantTypes,omitempty"`
}

// Kind is the kind of the stored connectors.
var Kind = store.Declare(store.Declaration[Document]{
	Name: "connector", Durable: true, Kubernetes: store.EditedObject,
})
