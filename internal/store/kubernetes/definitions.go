package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dex/internal/kubeapi"
)

const (
	definitionsPath = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	// servedWithin is how long a server may take until it serves a resource that was defined.
	servedWithin = 15 * time.Second
	servedPoll   = 100 * time.Millisecond
)

// define makes sure that all resources are served, and returns the version that each has now.
func (s *Store) define(ctx context.Context, create bool) (map[resource]string, error) {
	both, free, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	versions := make(map[resource]string, len(used))
	var missing []resource
	for _, r := range used {
		version, served, err := s.served(both, r)
		if err != nil {
			return nil, err
		}
		if !served {
			missing = append(missing, r)
		}
		versions[r] = version
	}
	if len(missing) == 0 {
		return versions, nil
	}
	if !create {
		return nil, fmt.Errorf("custom resource definitions are missing, or don't serve version v1: %s; "+
			"create them, or set crdHandling: %s", definitionNames(missing), CRDEnsure)
	}
	others := make(map[resource]bool) // those that somebody else has created
	for _, r := range missing {
		err := s.defineOne(both, r)
		if kubeapi.IsTaken(err) {
			others[r] = true
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("custom resource definitions are missing (%s), and can't be created: %w; allow the verb "+
				"create for customresourcedefinitions in apiextensions.k8s.io, or create them beforehand",
				definitionNames(missing), err)
		}
		s.log.InfoContext(ctx, "custom resource definition created", "name", definitionName(r))
	}
	return versions, s.awaitServed(both, missing, others, versions)
}

func definitionName(r resource) string { return r.plural + "." + group }

func definitionNames(rs []resource) string {
	names := make([]string, len(rs))
	for i, r := range rs {
		names[i] = definitionName(r)
	}
	return strings.Join(names, ", ")
}

// served reports whether the server knows a resource, and the version of all that is there. It asks for the objects, not
// for the definition, which upstream's roles don't allow to read.
func (s *Store) served(ctx context.Context, r resource) (version string, served bool, err error) {
	end, err := s.client.Page(ctx, r.in(s.client), kubeapi.PageQuery{Limit: 1, MetadataOnly: true}, func(json.RawMessage) error { return nil })
	if kubeapi.HasCode(err, http.StatusNotFound) { // a namespace that is not there has an empty list
		return "", false, nil
	}
	return end.ResourceVersion, err == nil, err
}

func (s *Store) awaitServed(ctx context.Context, missing []resource, others map[resource]bool, versions map[resource]string) error {
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	for _, r := range missing {
		for {
			version, served, err := s.served(ctx, r)
			if err != nil && ctx.Err() == nil {
				return err
			}
			if served {
				versions[r] = version
				break
			}
			select {
			case <-time.After(servedPoll):
			case <-ctx.Done():
				return notServed(r, others[r])
			}
		}
	}
	return nil
}

// notServed says why a resource may not be there yet, or not as it is needed.
func notServed(r resource, others bool) error {
	if others {
		return fmt.Errorf("custom resource definition %s is there, but does not serve version v1 in namespaces %v later; compare it "+
			"with the documentation", definitionName(r), servedWithin)
	}
	return fmt.Errorf("custom resource definition %s: not served %v after it was created", definitionName(r), servedWithin)
}

// defineOne creates a definition.
func (s *Store) defineOne(ctx context.Context, r resource) error {
	type object = map[string]any
	return s.client.Send(ctx, s.client.CreateAt(definitionsPath, object{
		"apiVersion": "apiextensions.k8s.io/v1",
		"kind":       "CustomResourceDefinition",
		"metadata":   object{"name": definitionName(r)},
		"spec": object{
			"group": group,
			"names": object{"plural": r.plural, "singular": r.singular, "kind": r.kind},
			"scope": "Namespaced",
			"versions": []object{{
				"name": "v1", "served": true, "storage": true,
				"schema": object{"openAPIV3Schema": object{
					"type": "object", "x-kubernetes-preserve-unknown-fields": true,
				}},
			}},
		},
	}))
}
