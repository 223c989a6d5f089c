package rest

import (
	"net/http"
	"reflect"
	"time"

	"dex/internal/admin"
	"dex/internal/config"
	"dex/internal/signing"
)

// keyBody is a key that signs tokens, without what is private of it.
type keyBody struct {
	ID        string    `key:"id" required:"true"`
	Algorithm string    `key:"algorithm" required:"true"`
	State     string    `key:"state" required:"true"`
	From      time.Time `key:"from"`
	Until     time.Time `key:"until"`
}

type keysBody struct {
	Items []keyBody `key:"items" required:"true"`
}

// rotationBody is how to rotate.
type rotationBody struct {
	Mode string `key:"mode"`
}

// configurationBody is what is known of the configuration file.
type configurationBody struct {
	File      string        `key:"file"`
	Applied   time.Time     `key:"applied" required:"true"`
	Attempted time.Time     `key:"attempted" required:"true"`
	Current   bool          `key:"current" required:"true"`
	Problems  []mistakeBody `key:"problems"`
}

// mistakeBody is something that is wrong with the configuration file.
type mistakeBody struct {
	File    string `key:"file"`
	Line    int    `key:"line"`
	Column  int    `key:"column"`
	Member  string `key:"key"`
	Message string `key:"message" required:"true"`
}

// reloadedBody is what a reload has done.
type reloadedBody struct {
	Changed  []string      `key:"changed" required:"true"`
	Restart  []string      `key:"restart" required:"true"`
	Problems []mistakeBody `key:"problems"`
}

// tokenBody is an admin token.
type tokenBody struct {
	ID      string    `key:"id" readOnly:"true"`
	Name    string    `key:"name"`
	Roles   []string  `key:"roles"`
	Token   string    `key:"token" readOnly:"true"`
	Created time.Time `key:"created" readOnly:"true"`
	Expires time.Time `key:"expires" readOnly:"true"`
}

type tokensBody struct {
	Items []tokenBody `key:"items" required:"true"`
}

// newTokenBody is an admin token to make.
type newTokenBody struct {
	Name    string        `key:"name"`
	Roles   []string      `key:"roles"`
	Expires time.Duration `key:"expires"`
}

// process returns the routes about what the process has.
func process() []route {
	return []route{
		{
			id: "listKeys", method: http.MethodGet, path: "/keys", needs: admin.KeysList, tag: "keys",
			summary: "List the keys that sign tokens, without what is private", serve: listKeys,
			answers: []outcome{{http.StatusOK, "The keys", reflect.TypeFor[keysBody]()}},
		},
		{
			id: "rotateKeys", method: http.MethodPost, path: "/keys/rotate", needs: admin.KeysRotate, tag: "keys",
			summary: "Rotate the keys that sign tokens", body: reflect.TypeFor[rotationBody](), serve: rotateKeys,
			answers: []outcome{{http.StatusOK, "The keys now", reflect.TypeFor[keysBody]()}},
		},
		{
			id: "getConfiguration", method: http.MethodGet, path: "/configuration", needs: admin.ConfigurationGet, tag: "configuration",
			summary: "Ask how the configuration file was applied", serve: getConfiguration,
			answers: []outcome{{http.StatusOK, "How things stand", reflect.TypeFor[configurationBody]()}},
		},
		{
			id: "reloadConfiguration", method: http.MethodPost, path: "/configuration/reload", needs: admin.ConfigurationReload, tag: "configuration",
			summary: "Put the configuration file in force as it is now", serve: reloadConfiguration,
			answers: []outcome{{http.StatusOK, "What has changed", reflect.TypeFor[reloadedBody]()}},
		},
		{
			id: "listTokens", method: http.MethodGet, path: "/tokens", needs: admin.TokensList, tag: "tokens",
			summary: "List admin tokens, without the tokens themselves", serve: listTokens,
			answers: []outcome{{http.StatusOK, "The tokens that have not expired", reflect.TypeFor[tokensBody]()}},
		},
		{
			id: "createToken", method: http.MethodPost, path: "/tokens", needs: admin.TokensCreate, tag: "tokens",
			summary: "Make an admin token", body: reflect.TypeFor[newTokenBody](), serve: createToken,
			answers: []outcome{{http.StatusCreated, "The token, which can't be read again later", reflect.TypeFor[tokenBody]()}},
		},
		{
			id: "deleteToken", method: http.MethodDelete, path: "/tokens/{id}", needs: admin.TokensDelete, tag: "tokens",
			summary: "Refuse an admin token from now on", serve: deleteToken,
			answers: []outcome{{http.StatusNoContent, "It is refused", nil}},
		},
	}
}

func listKeys(c *call) error {
	keys, err := c.service().Keys(c.Context())
	if err != nil {
		return err
	}
	b := keysBody{Items: make([]keyBody, 0, len(keys))}
	for _, k := range keys {
		b.Items = append(b.Items, keyBody{k.ID, k.Algorithm, string(k.State), k.From, k.Until})
	}
	return c.answer(http.StatusOK, b)
}

func rotateKeys(c *call) error {
	var b rotationBody
	if err := c.read(&b); err != nil {
		return err
	}
	if err := c.service().RotateKeys(c.Context(), signing.Mode(b.Mode)); err != nil {
		return err
	}
	return listKeys(c)
}

func getConfiguration(c *call) error {
	status, err := c.service().Configuration(c.Context())
	if err != nil {
		return err
	}
	b := configurationBody{File: status.File, Applied: status.Applied, Attempted: status.Attempted, Current: status.Problem == nil}
	if status.Problem != nil {
		b.Problems = problemsOf(status.Problem)
	}
	return c.answer(http.StatusOK, b)
}

func problemsOf(err error) []mistakeBody {
	if found, ok := asInvalid(err); ok {
		return bodiesOf(found)
	}
	return []mistakeBody{{Message: err.Error()}}
}

func bodiesOf(found config.Problems) []mistakeBody {
	var all []mistakeBody
	for _, p := range found {
		all = append(all, mistakeBody{p.File, p.Line, p.Column, p.Key, p.Message})
	}
	return all
}

func reloadConfiguration(c *call) error {
	done, err := c.service().Reload(c.Context())
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, reloadedBody{done.Changed, done.Restart, bodiesOf(done.Problems)})
}

func bodyOfToken(t admin.AdminToken) tokenBody {
	b := tokenBody{ID: t.ID, Name: t.Name, Created: t.Created, Expires: t.Expires}
	for _, r := range t.Roles {
		b.Roles = append(b.Roles, string(r))
	}
	return b
}

func listTokens(c *call) error {
	all, err := c.service().Tokens.List(c.Context())
	if err != nil {
		return err
	}
	b := tokensBody{Items: make([]tokenBody, 0, len(all))}
	for _, t := range all {
		b.Items = append(b.Items, bodyOfToken(t))
	}
	return c.answer(http.StatusOK, b)
}

func createToken(c *call) error {
	var in newTokenBody
	if err := c.read(&in); err != nil {
		return err
	}
	roles := make([]admin.Role, len(in.Roles))
	for i, r := range in.Roles {
		roles[i] = admin.Role(r)
	}
	text, made, err := c.service().Tokens.Create(c.Context(), in.Name, roles, in.Expires)
	if err != nil {
		return err
	}
	b := bodyOfToken(made)
	b.Token = text
	c.w.Header().Set("Location", Base+"/tokens/"+made.ID)
	return c.answer(http.StatusCreated, b)
}

func deleteToken(c *call) error {
	if err := c.service().Tokens.Delete(c.Context(), c.params["id"]); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
