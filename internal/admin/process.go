package admin

import (
	"context"
	"errors"
	"time"

	"dex/internal/config"
	"dex/internal/event"
	"dex/internal/signing"
)

// Keys are the keys that sign tokens.
type Keys interface {
	List() []signing.Described
	Rotate(ctx context.Context, mode signing.Mode) error
}

// Keys describes the keys that sign tokens.
func (s *Service) Keys(ctx context.Context) ([]signing.Described, error) {
	if err := allow(ctx, KeysList); err != nil {
		return nil, err
	}
	return s.cfg.Keys.List(), nil
}

// RotateKeys rotates the keys that sign tokens.
func (s *Service) RotateKeys(ctx context.Context, mode signing.Mode) error {
	if err := allow(ctx, KeysRotate); err != nil {
		return err
	}
	if mode != signing.Gracefully && mode != signing.AtOnce {
		return invalid("mode", `must be "graceful", or "now" after a leak`)
	}
	if isDryRun(ctx) {
		return nil
	}
	err := s.cfg.Keys.Rotate(ctx, mode)
	if errors.Is(err, signing.ErrElsewhere) {
		return &Error{Reason: Disabled, Message: err.Error()}
	}
	if err != nil {
		return refusal(err, "signing keys")
	}
	s.cfg.Events.Emit(ctx, event.Changed{By: CallerOf(ctx).Name, How: event.Updated, Kind: "signing keys", ID: string(mode)})
	return nil
}

// Configuration is how the configuration file is reloaded.
type Configuration interface {
	// Status returns how things stand.
	Status() ConfigurationStatus
	// Reload reads the file again and puts it in force, or only checks it. An *Error is about the configuration.
	Reload(ctx context.Context, only bool) (Reloaded, error)
}

// ConfigurationStatus is what is known of the configuration file.
type ConfigurationStatus struct {
	File      string
	Applied   time.Time // when that in force was
	Attempted time.Time // when it was read last
	Problem   error     // why that is not in force; nil if it is
}

// Reloaded is what a reload has done.
type Reloaded struct {
	Changed  []string        // the keys and names that differ from those before
	Restart  []string        // the keys that differ and take effect after a restart only
	Problems config.Problems // those that the configuration can be used with
}

// Configuration returns what is known of the configuration file.
func (s *Service) Configuration(ctx context.Context) (ConfigurationStatus, error) {
	if err := allow(ctx, ConfigurationGet); err != nil {
		return ConfigurationStatus{}, err
	}
	return s.cfg.Configuration.Status(), nil
}

// Reload puts the configuration file in force as it is now.
func (s *Service) Reload(ctx context.Context) (Reloaded, error) {
	if err := allow(ctx, ConfigurationReload); err != nil {
		return Reloaded{}, err
	}
	done, err := s.cfg.Configuration.Reload(ctx, isDryRun(ctx))
	if err != nil {
		return Reloaded{}, refusedConfiguration(err)
	}
	if !isDryRun(ctx) {
		s.cfg.Events.Emit(ctx, event.Changed{By: CallerOf(ctx).Name, How: event.Updated, Kind: "configuration", ID: s.cfg.Configuration.Status().File})
	}
	return done, nil
}

// refusedConfiguration returns an error of a reload: a configuration that can't be used says where it is wrong.
func refusedConfiguration(err error) error {
	if _, ok := errors.AsType[*Error](err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &Error{Reason: Invalid, Message: "the configuration is not applied, and the one before stays in force: " + err.Error()}
	if found, ok := errors.AsType[*config.InvalidError](err); ok {
		e.Message = "the configuration is not applied, and the one before stays in force"
		for _, p := range found.Problems {
			e.Members = append(e.Members, Member{p.Key, p.String()})
		}
	}
	return e
}
