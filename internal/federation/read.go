package federation

import (
	"fmt"
	"reflect"
	"slices"

	"dex/internal/config"
)

// LocalID is the id and the type of the password database among the connectors.
const LocalID = "local"

// written is a connector as the configuration file has it: its settings are a section, and may have variables.
type written struct {
	Definition

	Settings config.Section `key:"config" expand:"env"`
}

// Written returns what a connector is decoded into from the configuration file.
func Written() reflect.Type { return reflect.TypeFor[written]() }

// Read returns the connectors of a configuration file and what is wrong with them. Of connectors with the same id the last
// one counts, and the password database takes precedence over a connector with its id.
func Read(cfg *config.Config) ([]*Definition, config.Problems) {
	var list []written
	on, file := cfg.Connectors.Check(&list), cfg.File.Checker()
	if len(list) == 0 && !cfg.EnablePasswordDB && cfg.Kubernetes.Resources == nil {
		on.Warnf("", "there is neither a connector nor the password database (enablePasswordDB: true), "+
			"so nobody can log in unless connectors are in the storage")
	}
	seen := map[string]int{}
	for i := range list {
		w, key := &list[i], config.Item("", i)
		w.entry = cfg.Connectors.At(key)
		w.check(on, key)
		on.Required(key+".name", w.Name, "the label on the login page")
		cfg.CheckMFAChain(on, key+".mfaChain", w.MFAChain)
		if w.ID == "" {
			continue
		}
		if first, twice := seen[w.ID]; twice {
			on.Overrides(key+".id", config.Item("", first), "%q is the ID of connectors[%d] too", w.ID, first)
		}
		seen[w.ID] = i
		if w.ID == LocalID {
			reserved(on, key+".id", cfg.EnablePasswordDB)
		}
	}
	var definitions []*Definition
	var found config.Problems
	for i := range list {
		w := &list[i]
		if w.ID != "" && seen[w.ID] != i || w.ID == LocalID && cfg.EnablePasswordDB {
			continue
		}
		if !on.IsBroken(config.Item("", i) + ".config") {
			found = append(found, w.readSettings(cfg.Flags)...)
		}
		definitions = append(definitions, &w.Definition)
	}
	checkNames(file, cfg, Known(cfg, definitions))
	return definitions, slices.Concat(on.Problems(), found, file.Problems())
}

func reserved(on *config.Checker, key string, enabled bool) {
	if !enabled {
		on.Warnf(key, "%q is the ID that the password database has where it is enabled; choose another one", LocalID)
		return
	}
	on.WithConsequence("this connector is left out", func() {
		on.Warnf(key, "%q is the ID of the password database (enablePasswordDB: true)", LocalID)
	})
}

// checkNames warns of connectors and connector types that the rest of the file names and that don't exist.
func checkNames(file *config.Checker, cfg *config.Config, known func(id string) bool) {
	if id := cfg.OAuth2.PasswordConnector; id != "" && !known(id) {
		file.Absent("oauth2.passwordConnector", "connector", id)
	}
	if cfg.MFA == nil || !cfg.SessionsOn() {
		return
	}
	for i, a := range cfg.MFA.Authenticators {
		for j, kind := range a.ConnectorTypes {
			if kind != LocalID && !slices.Contains(Types(), kind) {
				file.Warnf(config.Item(config.Item("mfa.authenticators", i)+".connectorTypes", j),
					"%q is no type of connector; known are %q, %s", kind, LocalID, config.Quoted(Types()))
			}
		}
	}
}

// Known returns a function that reports whether a configuration has the connector of an id, the password database included.
func Known(cfg *config.Config, definitions []*Definition) func(id string) bool {
	return func(id string) bool {
		return id == LocalID && cfg.EnablePasswordDB ||
			slices.ContainsFunc(definitions, func(d *Definition) bool { return d.ID == id })
	}
}

// check reports mistakes in what connectors of all types have.
func (d *Definition) check(on *config.Checker, key string) {
	on.Required(key+".id", d.ID, "it is part of addresses and of what applications know their users by")
	switch kind := key + ".type"; {
	case !on.Required(kind, d.Type, "one of "+config.Quoted(Types())):
	case d.Type == LocalID:
		on.Errorf(kind, "%q is the password database, which enablePasswordDB: true switches on", d.Type)
	default:
		on.OneOf(kind, d.Type, Types())
	}
	on.EachOf(key+".grantTypes", d.GrantTypes, config.DefaultGrantTypes)
	d.checkOffer(on, key)
	d.Source.Check(on, key)
}

// readSettings decodes the settings of a connector.
func (w *written) readSettings(flags config.Flags) config.Problems {
	w.section = w.Settings
	settings, ok := NewConfig(w.Type)
	if !ok {
		return nil // was reported already
	}
	found := w.Settings.Decode(settings)
	if w.Broken = found.Err(); w.Broken == nil {
		w.Definition.Settings, _ = w.Settings.JSON() // fails only where a key that is ignored has a value that JSON can't express
		w.Config = settings
		return found
	}
	if flags.DisallowUnknownFields || !flags.ContinueOnConnectorFailure {
		return found
	}
	for i := range found {
		if !found[i].Warning {
			found[i].Consequence = fmt.Sprintf("connector %q is left out", w.ID)
		}
	}
	return found
}
