package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// options is the command line, checked.
type options struct {
	clientID     string
	clientSecret string
	redirectURI  *url.URL
	pkce         bool
	issuer       string
	issuerRootCA string
	listen       *url.URL
	tlsCert      string
	tlsKey       string
	debug        bool
	// checkInterval is the pause between silent checks; 0 for none.
	checkInterval time.Duration
}

// parseFlags reads the command line. For help it prints to helpOut and returns
// flag.ErrHelp.
func parseFlags(args []string, helpOut io.Writer) (options, error) {
	var opts options
	var redirectURI, listen string

	flags := flag.NewFlagSet("example-app", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are reported once, by the caller
	flags.StringVar(&opts.clientID, "client-id", "example-app", "OAuth2 client `ID`")
	flags.StringVar(&opts.clientSecret, "client-secret", "ZXhhbXBsZS1hcHAtc2VjcmV0", "`secret` of the client; empty for a public client")
	flags.StringVar(&redirectURI, "redirect-uri", "http://127.0.0.1:5555/callback", "`URL` that the provider sends users back to; this program serves its path")
	flags.BoolVar(&opts.pkce, "pkce", true, "send a PKCE challenge (S256)")
	flags.StringVar(&opts.issuer, "issuer", "http://127.0.0.1:5556/dex", "`URL` of the OpenID Connect provider")
	flags.StringVar(&opts.issuerRootCA, "issuer-root-ca", "", "PEM `file` of root certificates for the issuer, instead of the system's")
	flags.StringVar(&listen, "listen", "http://127.0.0.1:5555", "`URL` to listen at, http or https")
	flags.StringVar(&opts.tlsCert, "tls-cert", "", "certificate `file` for https")
	flags.StringVar(&opts.tlsKey, "tls-key", "", "key `file` for https")
	flags.DurationVar(&opts.checkInterval, "session-check-interval", 30*time.Second, "`interval` at which the provider is asked, without showing anything, whether the user is signed in there; 0 for never")
	flags.BoolVar(&opts.debug, "debug", false, "print every request to the provider and its response, secrets included")
	addReservedFlags(flags)

	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		if _, writeErr := io.WriteString(helpOut, help(flags)); writeErr != nil {
			return options{}, fmt.Errorf("printing the help: %w", writeErr)
		}
	}
	if err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: only flags are allowed, booleans as --flag=false", flags.Arg(0))
	}
	return opts.checked(redirectURI, listen)
}

// addReservedFlags declares the flags of features still to come, so that
// command lines written for them work.
func addReservedFlags(flags *flag.FlagSet) {
	flags.String("grpc-addr", "", "`address` of the provider's management API (has no effect yet)")
	flags.String("grpc-ca", "", "root certificate `file` for the management API (has no effect yet)")
	flags.String("grpc-client-cert", "", "client certificate `file` for the management API (has no effect yet)")
	flags.String("grpc-client-key", "", "client key `file` for the management API (has no effect yet)")
}

func help(flags *flag.FlagSet) string {
	var out strings.Builder
	out.WriteString("Try out an OpenID Connect provider in the browser.\n\nUsage:\n  example-app [flags]\n\nFlags:\n")
	flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		name := strings.TrimSpace("--" + f.Name + " " + value)
		fmt.Fprintf(&out, "  %-34s %s", name, usage)
		if f.DefValue != "" && f.DefValue != "false" {
			fmt.Fprintf(&out, " (default %s)", f.DefValue)
		}
		out.WriteByte('\n')
	})
	return out.String()
}

// checked completes the options with those that need parsing.
func (opts options) checked(redirectURI, listen string) (options, error) {
	if opts.clientID == "" {
		return options{}, errors.New("--client-id: must not be empty")
	}
	if _, err := webURL(opts.issuer); err != nil {
		return options{}, fmt.Errorf("--issuer: %w", err)
	}

	if opts.checkInterval < 0 {
		return options{}, errors.New("--session-check-interval: must not be negative")
	}

	var err error
	if opts.redirectURI, err = webURL(redirectURI); err != nil {
		return options{}, fmt.Errorf("--redirect-uri: %w", err)
	}
	// RFC 6749, section 3.1.2: the redirection endpoint has no fragment.
	if opts.redirectURI.Fragment != "" {
		return options{}, errors.New("--redirect-uri: must not have a fragment")
	}

	if opts.listen, err = webURL(listen); err != nil {
		return options{}, fmt.Errorf("--listen: %w", err)
	}
	if strings.Trim(opts.listen.Path, "/") != "" {
		return options{}, errors.New("--listen: must not have a path")
	}
	if opts.listen.Scheme == "https" && (opts.tlsCert == "" || opts.tlsKey == "") {
		return options{}, errors.New("--listen: https needs --tls-cert and --tls-key")
	}
	return opts, nil
}

// webURL parses an absolute http or https URL.
func webURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q must start with http:// or https://", s)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%q has no host", s)
	}
	return u, nil
}
