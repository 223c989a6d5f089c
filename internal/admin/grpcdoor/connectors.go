package grpcdoor

import (
	"context"
	"encoding/json"
	"slices"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/config"
	"dex/internal/federation"
)

// connectors returns the methods for connectors, if they are switched on.
func connectors(ctx context.Context) (*admin.Connectors, error) {
	room := roomOf(ctx)
	if !room.ConnectorsCRUD {
		return nil, admin.Errorf(admin.Disabled, "api_connectors_crud feature flag is not enabled")
	}
	return room.Service.Connectors, nil
}

func checkGrantTypes(types []string) error {
	for _, t := range types {
		if !slices.Contains(config.DefaultGrantTypes, t) {
			return invalidf("unknown grant type %q", t)
		}
	}
	return nil
}

// CreateConnector stores a connector.
func (*dex) CreateConnector(ctx context.Context, req *api.CreateConnectorReq) (*api.CreateConnectorResp, error) {
	records, err := connectors(ctx)
	if err != nil {
		return nil, err
	}
	in := req.GetConnector()
	switch {
	case in == nil:
		return nil, invalidf("no connector supplied")
	case in.GetId() == "":
		return nil, invalidf("no id supplied")
	case in.GetType() == "":
		return nil, invalidf("no type supplied")
	case in.GetName() == "":
		return nil, invalidf("no name supplied")
	case len(in.GetConfig()) == 0:
		return nil, invalidf("no config supplied")
	case !json.Valid(in.GetConfig()):
		return nil, invalidf("invalid config supplied")
	}
	if err := checkGrantTypes(in.GetGrantTypes()); err != nil {
		return nil, err
	}
	_, err = records.Create(ctx, federation.Definition{
		ID: in.GetId(), Type: in.GetType(), Name: in.GetName(), Settings: in.GetConfig(), GrantTypes: in.GetGrantTypes(),
	})
	if has(err, admin.Exists) {
		return &api.CreateConnectorResp{AlreadyExists: true}, nil
	}
	if err != nil {
		return nil, while("create connector", err)
	}
	return &api.CreateConnectorResp{}, nil
}

// UpdateConnector replaces what the request has.
func (*dex) UpdateConnector(ctx context.Context, req *api.UpdateConnectorReq) (*api.UpdateConnectorResp, error) {
	records, err := connectors(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case req.GetId() == "":
		return nil, invalidf("no email supplied") // sic
	case req.GetNewType() == "" && req.GetNewName() == "" && len(req.GetNewConfig()) == 0 && req.NewGrantTypes == nil:
		return nil, invalidf("nothing to update")
	case len(req.GetNewConfig()) > 0 && !json.Valid(req.GetNewConfig()):
		return nil, invalidf("invalid config supplied")
	}
	if err := checkGrantTypes(req.GetNewGrantTypes().GetGrantTypes()); err != nil {
		return nil, err
	}
	_, err = records.Update(ctx, req.GetId(), "", func(d *federation.Definition) error {
		replaceText(&d.Type, req.GetNewType())
		replaceText(&d.Name, req.GetNewName())
		if len(req.GetNewConfig()) > 0 {
			d.Settings = req.GetNewConfig()
		}
		if req.NewGrantTypes != nil {
			d.GrantTypes = req.GetNewGrantTypes().GetGrantTypes()
		}
		return nil
	})
	if has(err, admin.NotFound) {
		return &api.UpdateConnectorResp{NotFound: true}, nil
	}
	if err != nil {
		return nil, while("update connector", err)
	}
	return &api.UpdateConnectorResp{}, nil
}

// DeleteConnector removes a connector.
func (*dex) DeleteConnector(ctx context.Context, req *api.DeleteConnectorReq) (*api.DeleteConnectorResp, error) {
	records, err := connectors(ctx)
	if err != nil {
		return nil, err
	}
	if req.GetId() == "" {
		return nil, invalidf("no id supplied")
	}
	err = records.Delete(ctx, req.GetId(), "")
	if has(err, admin.NotFound) {
		return &api.DeleteConnectorResp{NotFound: true}, nil
	}
	if err != nil {
		return nil, while("delete connector", err)
	}
	return &api.DeleteConnectorResp{}, nil
}

// ListConnectors returns all connectors with their settings.
func (*dex) ListConnectors(ctx context.Context, _ *api.ListConnectorReq) (*api.ListConnectorResp, error) {
	records, err := connectors(ctx)
	if err != nil {
		return nil, err
	}
	resp := &api.ListConnectorResp{}
	err = all(ctx, records.ListWithSecrets, func(d *federation.Definition) {
		resp.Connectors = append(resp.Connectors, messageOfConnector(d))
	})
	if err != nil {
		return nil, while("list connectors", err)
	}
	return resp, nil
}

func messageOfConnector(d *federation.Definition) *api.Connector {
	return &api.Connector{Id: d.ID, Type: d.Type, Name: d.Name, Config: d.Settings, GrantTypes: d.GrantTypes}
}
