package authorize

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Repeat returns the parameters with which the request can be made anew. The choice itself is not among them.
func (req *Request) Repeat() url.Values {
	if req.form == nil {
		return req.parameters()
	}
	params := url.Values{"client_id": {req.ClientID}, "redirect_uri": {req.RedirectURI}}
	for _, name := range single {
		if value := req.form.Get(name); value != "" && name != "connector_id" {
			params.Set(name, value)
		}
	}
	return params
}

// parameters returns the request as it would be sent anew.
func (req *Request) parameters() url.Values {
	v := url.Values{
		"client_id":     {req.ClientID},
		"redirect_uri":  {req.RedirectURI},
		"response_type": {strings.Join(req.ResponseTypes, " ")},
		"scope":         {strings.Join(req.Scopes, " ")},
	}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("state", req.State)
	set("nonce", req.Nonce)
	set("response_mode", req.Mode)
	set("code_challenge", req.Challenge.Value)
	set("code_challenge_method", req.Challenge.Method)
	set("prompt", strings.Join(req.Prompt, " "))
	set("login_hint", req.LoginHint)
	set("acr_values", req.ACRValues)
	set("ui_locales", req.UILocales)
	if req.ForceConsent && !slices.Contains(req.Prompt, "consent") {
		v.Set("approval_prompt", "force")
	}
	if req.MaxAge != nil {
		v.Set("max_age", strconv.Itoa(int(*req.MaxAge/time.Second)))
	}
	return v
}
