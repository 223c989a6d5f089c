package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dex/internal/store"
	"dex/internal/store/sealed"
)

func newReseal() *cobra.Command {
	return &cobra.Command{
		Use:   "reseal [flags] CONFIG",
		Short: "Seal everything in the storage with the first storage key",
		Long: `Seal everything in the storage of the configuration in CONFIG with the first
storage key: what was written before there was a key, and what is sealed with an
older one. Afterwards the older keys can be removed.

Servers may run meanwhile if they already have the same keys. It can be
interrupted and run again.`,
		Example: "  DEX_STORAGE_KEY=$NEW,$OLD dex reseal config.yaml",
		Args:    operands("CONFIG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return withStorage(cmd, args[0], func(ctx context.Context, s store.Store) error {
				return reseal(ctx, cmd, s)
			})
		},
	}
}

func reseal(ctx context.Context, cmd *cobra.Command, s store.Store) error {
	p := newProgress(cmd.ErrOrStderr())
	done, err := sealed.Reseal(ctx, s, store.DurableKinds(), func(kind string, n int) { p.show("seen", n, kind) })
	if err == nil || done != (sealed.Resealed{}) {
		fmt.Fprintf(cmd.OutOrStdout(), "resealed: %d, sealed with the first key already: %d, can't be opened: %d\n",
			done.Sealed, done.Current, done.Failed)
	}
	if err != nil {
		return fmt.Errorf("reseal: %w", err)
	}
	return nil
}
