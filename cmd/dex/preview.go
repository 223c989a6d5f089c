package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/preview"
	"dex/internal/server"
	"dex/internal/ui"
)

// previewDrain is how long the last requests of a preview may take.
const previewDrain = 3 * time.Second

func newWebPreview() *cobra.Command {
	var o previewOptions
	cmd := &cobra.Command{
		Use:   "preview [flags] [DIR]",
		Short: "Show every page with made-up contents in the browser, and again when a file changes",
		Long: `Show every page with made-up contents, in every state, theme and language, with
the files in DIR laid over the built-in ones. Without DIR it shows the pages of
the configuration, or the built-in ones.

The browser loads a page again when a file changes. A mistake in a template is
shown with its file and line until it is mended. Browsers get the same
Content-Security-Policy as from the server. Only this machine can look, unless
--addr says otherwise.`,
		Example: "  dex web preview --config config.yaml ./web",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			if len(args) > 0 {
				o.dir = args[0]
			}
			return o.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.theme, "theme", "", "begin with this theme instead of frontend.theme")
	flags.StringVar(&o.config, "config", "", "take the settings below frontend, and web.headers, from this configuration")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:5557", "listen here; port 0 takes a free one")
	return cmd
}

type previewOptions struct{ dir, theme, config, addr string }

// run shows the pages until SIGINT or SIGTERM.
func (o previewOptions) run(cmd *cobra.Command) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	if err := o.check(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	all := server.Group{Log: log, DrainTimeout: previewDrain, Listeners: []server.Listener{{
		Name: "preview", Key: "--addr", Address: o.addr, Handler: preview.New(o.read, log),
		OnBound: func(bound net.Addr) {
			fmt.Fprintf(cmd.OutOrStdout(), "The pages are at http://%s/ until Ctrl-C.\n", bound)
			if a, ok := bound.(*net.TCPAddr); ok && !a.IP.IsLoopback() {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: others in the network can look too")
			}
		},
	}}}
	return all.Serve(ctx)
}

// check finds what no edit will mend: a folder or a configuration that is not there, or a theme.
func (o previewOptions) check() error {
	if o.dir != "" {
		if info, err := os.Stat(o.dir); err != nil {
			return err
		} else if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", o.dir)
		}
	}
	if o.config != "" {
		if _, err := (app.Input{File: o.config}).Source(); err != nil {
			return err
		}
	}
	settings, err := o.read()
	if err != nil {
		return nil //nolint:nilerr // it is shown in the browser, until it is mended
	}
	settings.Pages.Unchecked = true
	pages, err := ui.New(settings.Pages, slog.New(slog.DiscardHandler))
	if errors.Is(err, ui.ErrNoTheme) {
		return err
	}
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	return pages.Close()
}

// read reads the settings as they are now.
func (o previewOptions) read() (preview.Settings, error) {
	cfg, mistake := o.configuration()
	if o.dir != "" {
		cfg.Frontend.Dir = o.dir
	}
	if o.theme != "" {
		cfg.Frontend.Theme = o.theme
	}
	settings, err := app.Previewed(cfg)
	if o.config != "" {
		settings.Watched = append(settings.Watched, o.config)
	}
	return settings, errors.Join(mistake, err)
}

// configuration returns what could be read of the configuration, and what is wrong with it as far as it concerns the pages.
func (o previewOptions) configuration() (*config.Config, error) {
	if o.config == "" {
		return &config.Config{}, nil
	}
	src, err := app.Input{File: o.config}.Source()
	if err != nil {
		return &config.Config{}, err
	}
	cfg, problems := src.Load()
	if cfg == nil {
		return &config.Config{}, unusable(problems)
	}
	problems = slices.DeleteFunc(problems, func(p config.Problem) bool {
		return !p.IsError() || !strings.HasPrefix(p.Key, "frontend") && !strings.HasPrefix(p.Key, "web.headers")
	})
	if len(problems) > 0 {
		return cfg, unusable(problems)
	}
	return cfg, nil
}
