package main

import (
	"context"
	"fmt"
	"io"

	"dex/examples/grpc-client/dexapi"
)

// testHash is the bcrypt hash of "test1", as dex hash-password makes it.
const testHash = "$2a$10$Vi.nGSzeX6Xz8o2P7R1dYerVgVw60GM5X5qBS0k99uxFzQ6paRp8S"

// A tour makes one call after the other, and ends at the first answer that it doesn't expect.
type tour struct {
	dex    dexapi.DexClient
	stdout io.Writer
}

func (t tour) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(t.stdout, format+"\n", args...)
}

func (t tour) user(ctx context.Context) error {
	const email = "test@example.com"
	made, err := t.dex.CreatePassword(ctx, &dexapi.CreatePasswordReq{Password: &dexapi.Password{
		Email: email, Hash: []byte(testHash), Username: "test", UserId: "test",
	}})
	if err != nil {
		return fmt.Errorf("create a user: %w", err)
	}
	if made.GetAlreadyExists() {
		return fmt.Errorf("create a user: there is %s already", email)
	}
	t.tell("created the user %s", email)
	if err := t.listUsers(ctx); err != nil {
		return err
	}
	for _, check := range []struct {
		password string
		right    bool
	}{{"test1", true}, {"wrong", false}} {
		answer, err := t.dex.VerifyPassword(ctx, &dexapi.VerifyPasswordReq{Email: email, Password: check.password})
		if err != nil {
			return fmt.Errorf("verify a password: %w", err)
		}
		if answer.GetVerified() != check.right {
			return fmt.Errorf("verify the password %q: got %v", check.password, answer.GetVerified())
		}
		t.tell("the password %q is right: %v", check.password, answer.GetVerified())
	}
	gone, err := t.dex.DeletePassword(ctx, &dexapi.DeletePasswordReq{Email: email})
	if err != nil {
		return fmt.Errorf("delete the user: %w", err)
	}
	if gone.GetNotFound() {
		return fmt.Errorf("delete the user: there is no %s", email)
	}
	t.tell("deleted the user %s", email)
	return nil
}

func (t tour) listUsers(ctx context.Context) error {
	list, err := t.dex.ListPasswords(ctx, &dexapi.ListPasswordReq{})
	if err != nil {
		return fmt.Errorf("list users: %w", err)
	}
	for _, u := range list.GetPasswords() {
		t.tell("there is the user %s with the id %s", u.GetEmail(), u.GetUserId())
	}
	return nil
}

func (t tour) application(ctx context.Context) error {
	made, err := t.dex.CreateClient(ctx, &dexapi.CreateClientReq{Client: &dexapi.Client{
		Id: "example-client", Secret: "example-secret", RedirectUris: []string{"http://localhost:8080/callback"},
		Name: "Example Client", LogoUrl: "http://example.com/logo.png",
	}})
	if err != nil {
		return fmt.Errorf("create a client: %w", err)
	}
	if made.GetAlreadyExists() {
		return fmt.Errorf("create a client: there is example-client already")
	}
	id := made.GetClient().GetId()
	t.tell("created the client %s", id)
	list, err := t.dex.ListClients(ctx, &dexapi.ListClientReq{})
	if err != nil {
		return fmt.Errorf("list clients: %w", err)
	}
	for _, c := range list.GetClients() {
		t.tell("there is the client %s, named %s", c.GetId(), c.GetName())
	}
	gone, err := t.dex.DeleteClient(ctx, &dexapi.DeleteClientReq{Id: id})
	if err != nil {
		return fmt.Errorf("delete the client: %w", err)
	}
	if gone.GetNotFound() {
		return fmt.Errorf("delete the client: there is no %s", id)
	}
	t.tell("deleted the client %s", id)
	return nil
}
