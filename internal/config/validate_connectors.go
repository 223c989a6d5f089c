package config

import "slices"

func (v *validator) connectors() {
	if len(v.cfg.Connectors) == 0 && !v.cfg.EnablePasswordDB {
		v.Warnf("connectors", "there is neither a connector nor the password database (enablePasswordDB: true), "+
			"so nobody can log in unless connectors are in the storage")
	}
	seen := map[string]int{}
	for i, c := range v.cfg.Connectors {
		key := Item("connectors", i)
		v.connectorType(key+".type", c.Type)
		v.Required(key+".name", c.Name, "the label on the login page")
		v.EachOf(key+".grantTypes", c.GrantTypes, DefaultGrantTypes)
		if !v.Required(key+".id", c.ID, "it is part of addresses and of what applications know their users by") {
			continue
		}
		if first, twice := seen[c.ID]; twice {
			v.Overrides(key+".id", Item("connectors", first), "%q is the ID of connectors[%d] too", c.ID, first)
		}
		seen[c.ID] = i
		v.reservedConnector(key+".id", c.ID)
	}
}

func (v *validator) connectorType(key, kind string) {
	switch {
	case !v.Required(key, kind, "one of "+Quoted(ConnectorTypes)):
	case kind == localConnector:
		v.Errorf(key, "%q is the password database, which enablePasswordDB: true switches on", kind)
	default:
		v.OneOf(key, kind, ConnectorTypes)
	}
}

func (v *validator) reservedConnector(key, id string) {
	switch {
	case id != localConnector:
	case v.cfg.EnablePasswordDB:
		v.WithConsequence("this connector is left out", func() {
			v.Warnf(key, "%q is the ID of the password database (enablePasswordDB: true)", id)
		})
	default:
		v.Warnf(key, "%q is the ID that the password database has where it is enabled; choose another one", id)
	}
}

// CheckConnector warns of the ID of a connector at a key that the file doesn't have.
func (c *Config) CheckConnector(on *Checker, key, id string) {
	if id == localConnector && c.EnablePasswordDB || slices.ContainsFunc(c.Connectors, func(k Connector) bool { return k.ID == id }) {
		return
	}
	on.Warnf(key, "there is no connector %q in this file; it works only if one is in the storage", id)
}
