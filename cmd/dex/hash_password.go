package main

import (
	"bufio"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dex/internal/config"
	"dex/internal/connector/local"
)

func newHashPassword() *cobra.Command {
	cost, algorithm := local.MinCost, config.Bcrypt
	cmd := &cobra.Command{
		Use:   "hash-password",
		Short: "Read a password and print its hash, for staticPasswords",
		Long: `Read a password and print its hash, for staticPasswords.

The hash is one of bcrypt, which upstream's Dex understands too, or of argon2id.
On a terminal it asks for the password twice, without showing it. Otherwise the
password is the first line of standard input.`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			h := local.Hashing{Argon2id: algorithm == config.Argon2id, Cost: cost}
			switch err := local.CheckCost(cost); {
			case algorithm != config.Argon2id && algorithm != config.Bcrypt:
				return fmt.Errorf("--algorithm must be %s or %s, not %q", config.Bcrypt, config.Argon2id, algorithm)
			case h.Argon2id && cmd.Flags().Changed("cost"):
				return errors.New("--cost is only for bcrypt")
			case err != nil:
				return fmt.Errorf("--cost %w", err)
			}
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			hash, err := h.Hash(string(password))
			if length, ok := errors.AsType[*local.LengthError](err); ok {
				return fmt.Errorf("a password for %s %w; this one has %d", algorithm, length, len(password))
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), string(hash))
			return nil
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", algorithm, "bcrypt or argon2id")
	cmd.Flags().IntVar(&cost, "cost", cost, "bcrypt cost, 10 to 16; each step doubles the time of a login")
	return cmd
}

func readPassword(in io.Reader, prompts io.Writer) ([]byte, error) {
	password, err := askPassword(in, prompts)
	if err == nil && len(password) == 0 {
		return nil, errors.New("the password is empty")
	}
	return password, err
}

func askPassword(in io.Reader, prompts io.Writer) ([]byte, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the password: %w", err)
		}
		return []byte(strings.TrimRight(line, "\r\n")), nil
	}
	return askOnTerminal(f, prompts)
}

// askOnTerminal asks twice. The terminal's echo is off before the prompt, so that even a password typed at once is not
// shown.
func askOnTerminal(f *os.File, prompts io.Writer) ([]byte, error) {
	fd := int(f.Fd())
	shown, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("hide the password: %w", err)
	}
	defer term.Restore(fd, shown) //nolint:errcheck // fails only if the terminal is gone
	terminal := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{f, prompts}, "")
	first, err := askHidden(terminal, "Password: ")
	if err != nil {
		return nil, err
	}
	second, err := askHidden(terminal, "Again: ")
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(first, second) != 1 {
		return nil, errors.New("the two passwords are different")
	}
	return first, nil
}

func askHidden(terminal *term.Terminal, label string) ([]byte, error) {
	password, err := terminal.ReadPassword(label)
	if errors.Is(err, io.EOF) { // Ctrl-C or Ctrl-D
		return nil, errors.New("no password was entered")
	}
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return []byte(password), nil
}
