package rest

import (
	"encoding/json"
	"net/http"
	"reflect"

	"dex/internal/admin"
	"dex/internal/connector"
	"dex/internal/explain"
)

// loginQuestionBody asks what would become of a login.
type loginQuestionBody struct {
	Client            string   `key:"client" required:"true"`
	User              string   `key:"user" required:"true"`
	Connector         string   `key:"connector"`
	Scopes            []string `key:"scopes"`
	Grant             string   `key:"grant"`
	Email             string   `key:"email"`
	EmailVerified     *bool    `key:"emailVerified"`
	Name              string   `key:"name"`
	PreferredUsername string   `key:"preferredUsername"`
	Groups            []string `key:"groups"`
}

// explainedLoginBody is what would become of it.
type explainedLoginBody struct {
	Allowed        bool              `key:"allowed" required:"true"`
	Refusal        *loginRefusalBody `key:"refusal"`
	User           loginUserBody     `key:"user" required:"true"`
	Grant          string            `key:"grant" required:"true"`
	Steps          []loginStepBody   `key:"steps" required:"true"`
	MissingFactors [][]string        `key:"missingFactors"`
	Scopes         []string          `key:"scopes"`
	Audience       []string          `key:"audience"`

	IDTokenLifetime     string          `key:"idTokenLifetime"`
	AccessTokenLifetime string          `key:"accessTokenLifetime"`
	AccessToken         string          `key:"accessToken"`
	Algorithm           string          `key:"algorithm"`
	Claims              json.RawMessage `key:"claims"`
}

// loginRefusalBody says why a login is refused.
type loginRefusalBody struct {
	Stage  string `key:"stage" required:"true"`
	Rule   string `key:"rule" required:"true"`
	Reason string `key:"reason"`
	Error  string `key:"error" required:"true"`
	Told   string `key:"told"`
	Cause  string `key:"cause"`
}

// loginStepBody is what one rule has said.
type loginStepBody struct {
	Stage   string `key:"stage" required:"true"`
	Rule    string `key:"rule" required:"true"`
	Setting string `key:"setting"`
	Outcome string `key:"outcome" required:"true"`
	Detail  string `key:"detail"`
}

// loginUserBody is the user that was decided about.
type loginUserBody struct {
	ID                string   `key:"id" required:"true"`
	Connector         string   `key:"connector" required:"true"`
	From              string   `key:"from" required:"true"`
	Name              string   `key:"name"`
	PreferredUsername string   `key:"preferredUsername"`
	Email             string   `key:"email"`
	EmailVerified     bool     `key:"emailVerified"`
	Groups            []string `key:"groups"`
	GroupsKnown       bool     `key:"groupsKnown" required:"true"`
}

// policies returns the routes about the policy.
func policies() []route {
	return []route{{
		id: "explainLogin", method: http.MethodPost, path: "/policy/explain", needs: admin.PolicyExplain, tag: "policy",
		summary: "Ask what the policy decides about a user of a client, why, and what an ID token would say; nothing is changed",
		body:    reflect.TypeFor[loginQuestionBody](), reads: true, serve: explainLogin,
		answers: []outcome{{http.StatusOK, "The decision, whatever it is", reflect.TypeFor[explainedLoginBody]()}},
	}}
}

func explainLogin(c *call) error {
	var in loginQuestionBody
	if err := c.read(&in); err != nil {
		return err
	}
	found, err := c.service().ExplainLogin(c.Context(), admin.LoginQuestion{
		ClientID: in.Client, User: in.User, ConnectorID: in.Connector, Scopes: in.Scopes, Grant: in.Grant,
		Facts: admin.Facts{
			Email: in.Email, EmailVerified: in.EmailVerified, Name: in.Name, PreferredName: in.PreferredUsername, Groups: in.Groups,
		},
	})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, bodyOfExplained(found))
}

func bodyOfExplained(found *admin.ExplainedLogin) explainedLoginBody {
	b := explainedLoginBody{
		Allowed: found.Allowed, User: bodyOfLoginUser(found.User.ConnectorID, found.User.From, &found.User.Identity), Grant: found.Grant,
		MissingFactors: found.Missing, Scopes: found.Scopes, Claims: found.Claims, Steps: stepsOf(found.Explanation),
	}
	if r := found.Refusal; r != nil {
		b.Refusal = &loginRefusalBody{string(r.Stage), r.Rule, string(r.Reason), r.Code, r.Told, r.Cause}
	}
	if found.Allowed {
		b.Audience, b.Algorithm, b.AccessToken = found.Terms.Audience, found.Algorithm, found.AccessTokenForm()
		b.IDTokenLifetime, b.AccessTokenLifetime = found.Terms.IDLifetime.String(), found.Terms.AccessLifetime.String()
	}
	return b
}

func bodyOfLoginUser(connectorID, from string, id *connector.Identity) loginUserBody {
	return loginUserBody{
		ID: id.UserID, Connector: connectorID, From: from, Name: id.Username, PreferredUsername: id.PreferredUsername,
		Email: id.Email, EmailVerified: id.EmailVerified, Groups: id.Groups, GroupsKnown: id.GroupsTold,
	}
}

func stepsOf(found *explain.Explanation) []loginStepBody {
	steps := make([]loginStepBody, 0, len(found.Steps))
	for _, s := range found.Steps {
		steps = append(steps, loginStepBody{string(s.Stage), s.Rule, s.Where, string(s.Outcome), s.Detail})
	}
	return steps
}
