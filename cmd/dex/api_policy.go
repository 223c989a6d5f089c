package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"dex/internal/admin"
	"dex/internal/admin/remote"
)

func newPolicyCommands() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "What the policy decides: ask a running server why, and test a configuration",
		Args:  knownCommand,
		RunE:  helpInstead,

		SuggestionsMinimumDistance: 2, // as of the root
	}
	cmd.AddCommand(newPolicyExplain(), newPolicyTest())
	cmd.SuggestFor = []string{"policies", "explain", "why"}
	return cmd
}

// A loginQuestion is what dex policy explain asks, as the server reads it.
type loginQuestion struct {
	Client            string    `json:"client"`
	User              string    `json:"user"`
	Connector         string    `json:"connector,omitempty"`
	Scopes            []string  `json:"scopes,omitempty"`
	Grant             string    `json:"grant,omitempty"`
	Email             string    `json:"email,omitempty"`
	EmailVerified     *bool     `json:"emailVerified,omitempty"`
	Name              string    `json:"name,omitempty"`
	PreferredUsername string    `json:"preferredUsername,omitempty"`
	Groups            *[]string `json:"groups,omitempty"`
}

func newPolicyExplain() *cobra.Command {
	o := &apiFlags{}
	var q loginQuestion
	var groups []string
	verified := false
	cmd := &cobra.Command{
		Use:   "explain --client ID --user USER [--connector ID] [-o json|yaml]",
		Short: "Say whether a user may use a client, why, and what their tokens would say",
		Long: `Say whether a user may use a client, which rule has decided that, and what an ID
token would say. The server decides as it does for a login, and changes nothing.

The user is named by their ID at the connector, their name, their e-mail address
or the sub of one of their tokens. What the server knows of them is in the
password database, or as of their last login; with --connector, users are found
too who only have a session or a refresh token. --email, --email-verified,
--name, --preferred-username and --group replace what is known: with them and
--connector, a user whom the server doesn't know can be asked about too.
--group= stands for no groups.

The exit status is 0 whatever the decision is.`,
		Example:               "  dex policy explain --client payroll --user jane@example.com --connector google --group finance-eu",
		Args:                  operands(),
		DisableFlagsInUseLine: true,
		Annotations:           map[string]string{callsServer: ""},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("email-verified") {
				q.EmailVerified = &verified
			}
			if cmd.Flags().Changed("group") {
				q.Groups = new(withoutEmpty(groups))
			}
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error { return o.explain(ctx, cmd, s, &q) })
		},
	}
	o.add(cmd.Flags())
	o.addOutput(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.Client, "client", "", "the client's ID")
	flags.StringVar(&q.User, "user", "", "the user: ID at the connector, name, e-mail address, or sub of a token")
	flags.StringVar(&q.Connector, "connector", "", "the connector's ID, such as local for users of dex; needed if several users match")
	flags.StringArrayVar(&q.Scopes, "scope", nil, "a scope that the client asks for; may be repeated (openid, profile, email and groups)")
	flags.StringVar(&q.Grant, "grant", "", "the grant, such as refresh_token (authorization_code)")
	flags.StringVar(&q.Email, "email", "", "suppose that this is the user's e-mail address; see --email-verified")
	flags.BoolVar(&verified, "email-verified", false, "suppose that the address is verified, or with =false that it isn't")
	flags.StringVar(&q.Name, "name", "", "suppose that this is the user's name")
	flags.StringVar(&q.PreferredUsername, "preferred-username", "", "suppose that this is the user's preferred name")
	flags.StringArrayVar(&groups, "group", nil, "suppose that the user is in this group, and in no other; may be repeated")
	for _, name := range []string{"client", "user"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // only if there is no such flag
		}
	}
	o.completeFlag(cmd, "client", "clients", "id")
	o.completeFlag(cmd, "connector", "connectors", "id")
	return cmd
}

func withoutEmpty(texts []string) []string {
	kept := []string{}
	for _, text := range texts {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return kept
}

// An explainedLogin is what the server has answered.
type explainedLogin struct {
	Allowed bool `json:"allowed"`
	Refusal *struct {
		Stage  string `json:"stage"`
		Rule   string `json:"rule"`
		Reason string `json:"reason"`
		Error  string `json:"error"`
		Told   string `json:"told"`
		Cause  string `json:"cause"`
	} `json:"refusal"`
	User struct {
		ID          string   `json:"id"`
		Connector   string   `json:"connector"`
		From        string   `json:"from"`
		Groups      []string `json:"groups"`
		GroupsKnown bool     `json:"groupsKnown"`
	} `json:"user"`
	Steps               []map[string]any `json:"steps"`
	MissingFactors      [][]string       `json:"missingFactors"`
	Scopes              []string         `json:"scopes"`
	Audience            []string         `json:"audience"`
	IDTokenLifetime     string           `json:"idTokenLifetime"`
	AccessTokenLifetime string           `json:"accessTokenLifetime"`
	AccessToken         string           `json:"accessToken"`
	Algorithm           string           `json:"algorithm"`
	Claims              json.RawMessage  `json:"claims"`
}

func (o *apiFlags) explain(ctx context.Context, cmd *cobra.Command, s *remote.Client, q *loginQuestion) error {
	answer, err := s.Do(ctx, remote.Call{Method: http.MethodPost, Path: []string{"policy", "explain"}, Body: q})
	if err != nil {
		return err
	}
	if o.output != "" {
		return printDocument(cmd.OutOrStdout(), o.output, answer.Body)
	}
	var found explainedLogin
	if err := answer.Decode(&found); err != nil {
		return err
	}
	if !found.User.GroupsKnown {
		fmt.Fprintln(cmd.ErrOrStderr(), "The groups of the user are not known: give them with --group if they matter.")
	}
	return found.print(cmd.OutOrStdout(), q.Client)
}

var stepColumns = []column{
	member("STAGE", "stage"), member("RULE", "rule"), member("OUTCOME", "outcome"), member("SETTING", "setting"), {title: "DETAIL", value: func(step map[string]any) string { return text(step["detail"]) }, whole: true},
}

func (x *explainedLogin) print(out io.Writer, client string) error {
	from := "known by: " + x.User.From
	if x.User.From == admin.FromQuestion {
		from = "not known: only as you describe them"
	}
	user := fmt.Sprintf("%s at connector %s (%s)", x.User.ID, x.User.Connector, from)
	line := func(title, value string) {
		if value != "" {
			fmt.Fprintf(out, "%-15s %s\n", title+":", remote.Printable(value))
		}
	}
	decision := "allowed"
	if !x.Allowed {
		decision = "refused"
	}
	line("decision", decision)
	line("user", user)
	line("client", client)
	if r := x.Refusal; r != nil {
		line("rule", r.Rule)
		line("reason", r.Reason)
		line("error", r.Error)
		line("told", r.Told)
		line("cause", r.Cause)
	}
	for _, item := range x.MissingFactors {
		line("second factor", strings.Join(item, " or "))
	}
	line("scopes", strings.Join(x.Scopes, " "))
	if x.Allowed {
		line("audience", strings.Join(x.Audience, " "))
		line("ID token", x.Algorithm+", "+x.IDTokenLifetime)
		line("access token", x.AccessToken+", "+x.AccessTokenLifetime)
	}
	fmt.Fprintln(out)
	if err := printTable(out, x.Steps, stepColumns); err != nil || len(x.Claims) == 0 {
		return err
	}
	fmt.Fprintln(out, "\nclaims of the ID token:")
	return printDocument(out, outputJSON, x.Claims)
}
