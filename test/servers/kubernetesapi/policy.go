package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// A policy says who may do what, by user name.
type policy map[string]account

type account struct {
	Token    string // for the header Authorization; empty if the user has a certificate or a password
	Password string
	Rules    []rule
}

// A rule allows what matches each of its lists; "*" matches everything.
type rule struct {
	Namespaces []string // the empty one stands for resources without a namespace
	Groups     []string
	Resources  []string
	Verbs      []string
}

func (r rule) allows(a authorizer.Attributes) bool {
	return matches(r.Namespaces, a.GetNamespace()) && matches(r.Groups, a.GetAPIGroup()) &&
		matches(r.Resources, a.GetResource()) && matches(r.Verbs, a.GetVerb())
}

func matches(list []string, value string) bool {
	return slices.Contains(list, value) || slices.Contains(list, "*")
}

// A policyFile reads the policy at each request, so that a test can change it.
type policyFile struct {
	path     string
	clientCA interface {
		VerifyOptions() (x509.VerifyOptions, bool)
	}
}

func (p *policyFile) read() (policy, error) {
	data, err := os.ReadFile(p.path)
	if err != nil {
		return nil, err
	}
	var read policy
	return read, json.Unmarshal(data, &read)
}

// AuthenticateRequest is part of authenticator.Request.
func (p *policyFile) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	certified := x509request.NewDynamic(p.clientCA.VerifyOptions, x509request.CommonNameUserConversion)
	if response, ok, err := certified.AuthenticateRequest(r); ok || err != nil {
		return response, ok, err
	}
	users, err := p.read()
	if err != nil {
		return nil, false, err
	}
	name, password, basic := r.BasicAuth()
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	for userName, account := range users {
		if bearer && account.Token != "" && account.Token == token ||
			basic && account.Password != "" && userName == name && account.Password == password {
			return &authenticator.Response{User: &user.DefaultInfo{Name: userName}}, true, nil
		}
	}
	return nil, false, nil
}

// authorize is an authorizer.AuthorizerFunc.
func (p *policyFile) authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if !a.IsResourceRequest() || a.GetUser().GetName() == user.APIServerUser {
		return authorizer.DecisionAllow, "", nil
	}
	users, err := p.read()
	if err != nil {
		return authorizer.DecisionDeny, "", err
	}
	if slices.ContainsFunc(users[a.GetUser().GetName()].Rules, func(r rule) bool { return r.allows(a) }) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionDeny, "no rule of the policy allows it", nil
}
