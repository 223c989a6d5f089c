package grpcdoor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"dex/internal/admin"
	"dex/internal/admin/api"
)

// reasons has the status code and the name of each reason for which a call fails.
var reasons = map[admin.Reason]struct {
	code codes.Code
	name string
}{
	admin.Unavailable:     {codes.Unavailable, "UNAVAILABLE"},
	admin.Unauthenticated: {codes.Unauthenticated, "UNAUTHENTICATED"},
	admin.Forbidden:       {codes.PermissionDenied, "FORBIDDEN"},
	admin.Invalid:         {codes.InvalidArgument, "INVALID"},
	admin.NotFound:        {codes.NotFound, "NOT_FOUND"},
	admin.Exists:          {codes.AlreadyExists, "EXISTS"},
	admin.Conflict:        {codes.Aborted, "CONFLICT"},
	admin.ReadOnly:        {codes.FailedPrecondition, "READ_ONLY"},
	admin.Exhausted:       {codes.ResourceExhausted, "EXHAUSTED"},
	admin.Disabled:        {codes.Unimplemented, "DISABLED"},
}

// statusOf returns what a caller is told of an error. Upstream's methods answer with the code Unknown, as automation looks for that
// and for the message, except where upstream would not have answered at all. Details say in any case what went wrong.
func statusOf(ctx context.Context, method string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	e, ok := errors.AsType[*admin.Error](err)
	if !ok {
		if s, ok := status.FromError(err); ok {
			return s.Err()
		}
		e = &admin.Error{Reason: admin.Unavailable, Message: err.Error()}
	}
	reason := reasons[e.Reason]
	code := reason.code
	stranger := len(admin.CallerOf(ctx).Roles) == 0
	if !stranger && !wantsStandard(ctx, method) && !isNew(e.Reason) {
		code = codes.Unknown
	}
	s := status.New(code, messageOf(e, stranger))
	if detailed, err := s.WithDetails(details(reason.name, e)...); err == nil {
		s = detailed
	}
	return s.Err()
}

// wantsStandard reports whether a call is to be answered by status codes that say what went wrong.
func wantsStandard(ctx context.Context, method string) bool {
	if roomOf(ctx).StandardCodes || !strings.HasPrefix(method, "/"+api.Dex_ServiceDesc.ServiceName+"/") {
		return true
	}
	for _, value := range metadata.ValueFromIncomingContext(ctx, standardCodes) {
		if value == standard {
			return true
		}
	}
	return false
}

// isNew reports whether upstream has no such errors, so that nobody looks for the code Unknown.
func isNew(r admin.Reason) bool {
	return r == admin.Unauthenticated || r == admin.Forbidden || r == admin.Exhausted
}

// messageOf leaves the cause out for a stranger, who has yet to show who it is: it may name what is behind Dex.
func messageOf(e *admin.Error, stranger bool) string {
	if stranger || e.Reason == admin.Unauthenticated || e.Reason == admin.Forbidden {
		return e.Message
	}
	return e.Error()
}

func details(reason string, e *admin.Error) []protoadapt.MessageV1 {
	all := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: "dex"}}
	if len(e.Members) == 0 {
		return all
	}
	bad := &errdetails.BadRequest{}
	for _, m := range e.Members {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: m.Name, Description: m.Message})
	}
	return append(all, bad)
}

// while returns an error of a method in upstream's words: what was being done, and the cause.
func while(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e, ok := errors.AsType[*admin.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", doing, err)
	}
	with := *e
	switch e.Reason {
	case admin.Unauthenticated, admin.Forbidden, admin.Exhausted:
		return err
	case admin.ReadOnly: // scripts look for these words: "create client: static clients: read-only cannot create client"
		_, thing, _ := strings.Cut(doing, " ")
		with.Message = fmt.Sprintf("%s: static %ss: read-only cannot %s", doing, thing, doing)
	default:
		with.Message = doing + ": " + e.Message
	}
	return &with
}

// invalidf returns the error for a request that is not valid.
func invalidf(format string, args ...any) error { return admin.Errorf(admin.Invalid, format, args...) }

// has reports whether a method failed for a reason.
func has(err error, reason admin.Reason) bool { return err != nil && admin.ReasonOf(err) == reason }
