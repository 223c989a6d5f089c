package grpcdoor

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/connector/local"
)

// recommendedCost is named in the message about a hash that costs too much.
const recommendedCost = 12

// checkHash returns what is wrong with a hash; if it isn't one of argon2id, in upstream's words.
func checkHash(hash []byte) error {
	if local.Hash(hash).IsArgon2id() {
		if err := local.Hash(hash).Check(); err != nil {
			return invalidf("given hash %v", err)
		}
		return nil
	}
	cost, err := bcrypt.Cost(hash)
	switch {
	case err != nil:
		return &admin.Error{Reason: admin.Invalid, Message: fmt.Sprintf("parsing bcrypt hash: %v", err)}
	case cost < local.MinCost:
		return invalidf("given hash cost = %d does not meet minimum cost requirement = %d", cost, local.MinCost)
	case cost > local.MaxCost:
		return invalidf("given hash cost = %d is above upper bound cost = %d, recommended cost = %d", cost, local.MaxCost, recommendedCost)
	}
	return nil
}

// trimmed leaves out the line end that tools print behind a hash: with it, no password would match.
func trimmed(hash []byte) []byte { return bytes.TrimSpace(hash) }

// CreatePassword stores a user.
func (*dex) CreatePassword(ctx context.Context, req *api.CreatePasswordReq) (*api.CreatePasswordResp, error) {
	in := req.GetPassword()
	switch {
	case in == nil:
		return nil, invalidf("no password supplied")
	case in.GetUserId() == "":
		return nil, invalidf("no user ID supplied")
	case in.Hash == nil:
		return nil, invalidf("no hash of password supplied")
	}
	if err := checkHash(trimmed(in.GetHash())); err != nil {
		return nil, err
	}
	_, err := roomOf(ctx).Service.Users.Create(ctx, local.User{
		Email: in.GetEmail(), Hash: local.Hash(trimmed(in.GetHash())), Username: in.GetUsername(), UserID: in.GetUserId(),
	})
	if has(err, admin.Exists) {
		return &api.CreatePasswordResp{AlreadyExists: true}, nil
	}
	if err != nil {
		return nil, while("create password", err)
	}
	return &api.CreatePasswordResp{}, nil
}

// UpdatePassword replaces what the request has.
func (*dex) UpdatePassword(ctx context.Context, req *api.UpdatePasswordReq) (*api.UpdatePasswordResp, error) {
	switch {
	case req.GetEmail() == "":
		return nil, invalidf("no email supplied")
	case len(req.GetNewHash()) == 0 && req.GetNewUsername() == "":
		return nil, invalidf("nothing to update")
	}
	if len(req.GetNewHash()) > 0 {
		if err := checkHash(trimmed(req.GetNewHash())); err != nil {
			return nil, err
		}
	}
	_, err := roomOf(ctx).Service.Users.Update(ctx, req.GetEmail(), "", func(u *local.User) error {
		if len(req.GetNewHash()) > 0 {
			u.Hash = local.Hash(trimmed(req.GetNewHash()))
		}
		replaceText(&u.Username, req.GetNewUsername())
		return nil
	})
	if has(err, admin.NotFound) {
		return &api.UpdatePasswordResp{NotFound: true}, nil
	}
	if err != nil {
		return nil, while("update password", err)
	}
	return &api.UpdatePasswordResp{}, nil
}

// DeletePassword removes a user.
func (*dex) DeletePassword(ctx context.Context, req *api.DeletePasswordReq) (*api.DeletePasswordResp, error) {
	if req.GetEmail() == "" {
		return nil, invalidf("no email supplied")
	}
	err := roomOf(ctx).Service.Users.Delete(ctx, req.GetEmail(), "")
	if has(err, admin.NotFound) {
		return &api.DeletePasswordResp{NotFound: true}, nil
	}
	if err != nil {
		return nil, while("delete password", err)
	}
	return &api.DeletePasswordResp{}, nil
}

// ListPasswords returns all users, without their hashes.
func (*dex) ListPasswords(ctx context.Context, _ *api.ListPasswordReq) (*api.ListPasswordResp, error) {
	resp := &api.ListPasswordResp{}
	err := all(ctx, roomOf(ctx).Service.Users.List, func(u *local.User) {
		resp.Passwords = append(resp.Passwords, messageOfUser(u))
	})
	if err != nil {
		return nil, while("list passwords", err)
	}
	return resp, nil
}

func messageOfUser(u *local.User) *api.Password {
	return &api.Password{Email: u.Email, Username: u.Username, UserId: u.UserID}
}

// VerifyPassword says whether a user has a password. Guesses are limited as at a login.
func (*dex) VerifyPassword(ctx context.Context, req *api.VerifyPasswordReq) (*api.VerifyPasswordResp, error) {
	switch {
	case req.GetEmail() == "":
		return nil, invalidf("no email supplied")
	case req.GetPassword() == "":
		return nil, invalidf("no password to verify supplied")
	}
	ok, err := roomOf(ctx).Service.Users.VerifyPassword(ctx, req.GetEmail(), req.GetPassword())
	if has(err, admin.NotFound) {
		return &api.VerifyPasswordResp{NotFound: true}, nil
	}
	if err != nil {
		return nil, while("verify password", err)
	}
	return &api.VerifyPasswordResp{Verified: ok}, nil
}
