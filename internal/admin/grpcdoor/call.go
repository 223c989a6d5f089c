package grpcdoor

import (
	"context"
	"crypto/x509"
	"net"
	"path"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
	"dex/internal/event"
	"dex/internal/telemetry"
)

// needs has what a caller must be allowed for each rpc. Those that are not here may be called by nobody, with the exception of the
// health service, which tells nothing, and of reflection.
var needs = map[string]admin.Method{
	api.Dex_GetClient_FullMethodName:    admin.ClientsReveal,
	api.Dex_CreateClient_FullMethodName: admin.ClientsCreate,
	api.Dex_UpdateClient_FullMethodName: admin.ClientsUpdate,
	api.Dex_DeleteClient_FullMethodName: admin.ClientsDelete,
	api.Dex_ListClients_FullMethodName:  admin.ClientsList,

	api.Dex_CreatePassword_FullMethodName: admin.UsersCreate,
	api.Dex_UpdatePassword_FullMethodName: admin.UsersUpdate,
	api.Dex_DeletePassword_FullMethodName: admin.UsersDelete,
	api.Dex_ListPasswords_FullMethodName:  admin.UsersList,
	api.Dex_VerifyPassword_FullMethodName: admin.UsersVerifyPassword,

	api.Dex_CreateConnector_FullMethodName: admin.ConnectorsCreate,
	api.Dex_UpdateConnector_FullMethodName: admin.ConnectorsUpdate,
	api.Dex_DeleteConnector_FullMethodName: admin.ConnectorsDelete,
	api.Dex_ListConnectors_FullMethodName:  admin.ConnectorsReveal,

	api.Dex_GetVersion_FullMethodName:   admin.ServerVersion,
	api.Dex_GetDiscovery_FullMethodName: admin.ServerDiscovery,

	api.Dex_ListRefresh_FullMethodName:   admin.LoginsList,
	api.Dex_RevokeRefresh_FullMethodName: admin.LoginsRevoke,

	api.Dex_GetAuthSession_FullMethodName:               admin.SessionsList,
	api.Dex_ListAuthSessions_FullMethodName:             admin.SessionsList,
	api.Dex_DeleteAuthSession_FullMethodName:            admin.SessionsEnd,
	api.Dex_TerminateSessionsByConnector_FullMethodName: admin.SessionsEnd,
	api.Dex_TerminateSessionsByUser_FullMethodName:      admin.SessionsEnd,
	api.Dex_GetUserIdentity_FullMethodName:              admin.SessionsList,
	api.Dex_ListUserIdentities_FullMethodName:           admin.SessionsList,
	api.Dex_DeleteUserIdentity_FullMethodName:           admin.SessionsEnd,
	api.Dex_ResetMFA_FullMethodName:                     admin.FactorsReset,
	api.Dex_ListMFADevices_FullMethodName:               admin.FactorsList,
	api.Dex_DeleteWebAuthnCredential_FullMethodName:     admin.FactorsReset,
	api.Dex_DeleteMFASecret_FullMethodName:              admin.FactorsReset,
	api.Dex_RevokeConsent_FullMethodName:                admin.SessionsEnd,

	dexv1.Admin_ListClients_FullMethodName:        admin.ClientsList,
	dexv1.Admin_ListUsers_FullMethodName:          admin.UsersList,
	dexv1.Admin_ListConnectors_FullMethodName:     admin.ConnectorsList,
	dexv1.Admin_RotateClientSecret_FullMethodName: admin.ClientsRotateSecret,
	dexv1.Admin_EndPreviousSecret_FullMethodName:  admin.ClientsRotateSecret,

	dexv1.Admin_ListSessions_FullMethodName:   admin.SessionsList,
	dexv1.Admin_EndSessions_FullMethodName:    admin.SessionsEnd,
	dexv1.Admin_ListIdentities_FullMethodName: admin.SessionsList,

	dexv1.Admin_ListFactors_FullMethodName:   admin.FactorsList,
	dexv1.Admin_RemoveFactor_FullMethodName:  admin.FactorsReset,
	dexv1.Admin_ResetFactors_FullMethodName:  admin.FactorsReset,
	dexv1.Admin_UnlockFactors_FullMethodName: admin.FactorsReset,
	dexv1.Admin_BlockUser_FullMethodName:     admin.UsersBlock,
	dexv1.Admin_UnblockUser_FullMethodName:   admin.UsersBlock,
	dexv1.Admin_InviteUser_FullMethodName:    admin.UsersInvite,
}

// reflectionService begins the names of the reflection service, of both of its versions.
const reflectionService = "/grpc.reflection."

// standardCodes is the metadata by which a caller asks for status codes that say what went wrong.
const standardCodes, standard = "dex-status-codes", "standard"

type roomKey struct{}

// roomOf returns what is in force for a call.
func roomOf(ctx context.Context) Room {
	r, _ := ctx.Value(roomKey{}).(Room)
	return r
}

// unary serves a call: who calls, whether that is allowed, what is in force, and how it ended.
func (d *Door) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	count := d.opts.Metrics.began("unary", info.FullMethod)
	defer func() { count.ended(err) }()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case d.calls <- struct{}{}:
		defer func() { <-d.calls }()
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if isHealth(info.FullMethod) {
		return handle(ctx, req)
	}
	room, leave := d.opts.Enter()
	defer leave()
	ctx, span := d.opts.Traces.Call(withRequest(context.WithValue(ctx, roomKey{}, room)), "grpc", path.Base(info.FullMethod))
	resp, err = d.handle(ctx, func() (resp any, err error) {
		if ctx, err = d.admit(ctx, room, info.FullMethod); err != nil {
			return nil, err
		}
		return handle(ctx, req)
	})
	d.told(ctx, info.FullMethod, err)
	span.End(admin.Failure(err))
	if err != nil {
		return nil, statusOf(ctx, info.FullMethod, err)
	}
	return resp, nil
}

// stream serves the streams of the health service and of reflection. The API has none.
func (d *Door) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	count := d.opts.Metrics.began("bidi_stream", info.FullMethod)
	defer func() { count.ended(err) }()
	if isHealth(info.FullMethod) {
		return handle(srv, s)
	}
	room, leave := d.opts.Enter()
	ctx := withRequest(s.Context())
	_, err = d.handle(ctx, func() (_ any, err error) {
		defer leave()
		ctx, err = d.admit(ctx, room, info.FullMethod)
		return nil, err
	})
	d.told(ctx, info.FullMethod, err)
	if err != nil {
		return statusOf(ctx, info.FullMethod, err)
	}
	return handle(srv, s)
}

func isHealth(method string) bool {
	return strings.HasPrefix(method, "/"+healthv1.Health_ServiceDesc.ServiceName+"/")
}

// admit finds out who calls and whether they may. Whoever may call anything may ask what there is to call.
func (d *Door) admit(ctx context.Context, room Room, method string) (context.Context, error) {
	caller, err := room.Access.Caller(ctx, d.shown(ctx, room))
	ctx = admin.WithCaller(ctx, caller)
	if err != nil || strings.HasPrefix(method, reflectionService) {
		return ctx, err
	}
	return ctx, admin.Allow(ctx, needs[method])
}

// shown returns what a caller has shown.
func (d *Door) shown(ctx context.Context, room Room) admin.Shown {
	s := admin.Shown{Mutual: d.opts.Mutual, Local: d.opts.Local || room.Anonymous, Certificate: certificateOf(ctx)}
	for _, value := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "bearer") {
			s.Bearer = strings.TrimSpace(token)
		}
	}
	return s
}

// certificateOf returns the client certificate whose authority TLS has verified; nil for none.
func certificateOf(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

// withRequest returns a context with an id for the call, and the address that it comes from.
func withRequest(ctx context.Context) context.Context {
	address := ""
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		if host, _, err := net.SplitHostPort(p.Addr.String()); err == nil {
			address = host
		}
	}
	return telemetry.WithRequest(ctx, uuid.NewString(), address)
}

// handle runs a call. A panic becomes an error, and ends nothing else.
func (d *Door) handle(ctx context.Context, run func() (any, error)) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.opts.Log.ErrorContext(ctx, "panic in a call of the management API", "err", p, "stack", string(debug.Stack()))
			resp, err = nil, status.Error(codes.Internal, "something went wrong in Dex; its log says what")
		}
	}()
	return run()
}

// told emits how a call has ended.
func (d *Door) told(ctx context.Context, method string, err error) {
	reason := admin.ReasonOf(err)
	d.opts.Events.Emit(ctx, event.CallEnded{
		By: admin.CallerOf(ctx).Name, Door: "grpc", Call: path.Base(method), Err: err,
		Denied: err != nil && (reason == admin.Unauthenticated || reason == admin.Forbidden),
	})
}
