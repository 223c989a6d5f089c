package audit

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dex/internal/event"
)

// decidedTypes are the types of the records about each event; none for those that are not in the audit. A new event needs a decision here
// and in events.go.
var decidedTypes = map[string]struct {
	event event.Event
	types []Type
}{
	"SignedIn":             {event.SignedIn{}, []Type{LoginSucceeded}},
	"SessionUsed":          {event.SessionUsed{}, []Type{LoginBySession}},
	"WrongPassword":        {event.WrongPassword{}, []Type{LoginPasswordWrong}},
	"LoginFailed":          {event.LoginFailed{}, []Type{LoginRefused}},
	"UnknownClient":        {event.UnknownClient{}, []Type{ClientUnknown}},
	"UnregisteredRedirect": {event.UnregisteredRedirect{}, []Type{ClientRedirect}},
	"PasswordChanged":      {event.PasswordChanged{}, []Type{PasswordChanged}},
	"LoginGranted":         {event.LoginGranted{}, []Type{LoginGranted}},
	"LimitReached":         {event.LimitReached{}, nil},
	"TokenTooLarge":        {event.TokenTooLarge{}, nil},
	"TokensIssued":         {event.TokensIssued{}, []Type{TokenIssued}},
	"CodeReplayed":         {event.CodeReplayed{}, []Type{CodeReplayed, LoginEnded}},
	"RefreshTokenReused":   {event.RefreshTokenReused{}, []Type{RefreshReused, LoginEnded}},
	"RefreshTokenExpired":  {event.RefreshTokenExpired{}, []Type{RefreshExpired}},
	"Revoked":              {event.Revoked{}, []Type{TokenRevoked}},
	"ForeignToken":         {event.ForeignToken{}, []Type{TokenForeign}},
	"TokenRefused":         {event.TokenRefused{}, []Type{UserInfoRefused}},
	"RequestRefused":       {event.RequestRefused{Endpoint: event.Token}, []Type{TokenRefused}},
	"ClientRefused":        {event.ClientRefused{}, []Type{ClientRefused}},
	"PreviousSecretUsed":   {event.PreviousSecretUsed{}, []Type{ClientOldSecret}},
	"LogoutTokenSent":      {event.LogoutTokenSent{}, []Type{LogoutTokenSent}},
	"LogoutTokenFailed":    {event.LogoutTokenFailed{}, nil},
	"LogoutTokenGivenUp":   {event.LogoutTokenGivenUp{}, []Type{LogoutTokenGivenUp}},
	"SessionEnded":         {event.SessionEnded{Why: event.SessionSignedOut}, []Type{SessionEnded}},
	"OwnChanged":           {event.OwnChanged{}, []Type{AccountChanged}},
	"FactorEnrolled":       {event.FactorEnrolled{}, []Type{FactorEnrolled}},
	"FactorRemoved":        {event.FactorRemoved{}, []Type{FactorRemoved}},
	"FactorPassed":         {event.FactorPassed{}, []Type{FactorPassed}},
	"FactorRefused":        {event.FactorRefused{Reason: event.FactorWrong}, []Type{FactorRefused}},
	"FactorsLocked":        {event.FactorsLocked{}, []Type{FactorLocked}},
	"FactorsUnlocked":      {event.FactorsUnlocked{}, []Type{FactorUnlocked}},
	"FactorsReset":         {event.FactorsReset{}, []Type{FactorReset}},
	"RecoveryCodesMade":    {event.RecoveryCodesMade{}, []Type{FactorRecoveryMade}},
	"RecoveryCodeUsed":     {event.RecoveryCodeUsed{}, []Type{FactorRecoveryUsed}},
	"PasswordResetAsked":   {event.PasswordResetAsked{Outcome: event.ResetUnknown}, []Type{PasswordResetAsked}},
	"Invited":              {event.Invited{}, []Type{UserInvited}},
	"EmailVerified":        {event.EmailVerified{}, []Type{UserEmailVerified}},
	"MailSent":             {event.MailSent{}, []Type{MailSent}},
	"MailFailed":           {event.MailFailed{}, nil},
	"MailGivenUp":          {event.MailGivenUp{}, []Type{MailGivenUp}},
	"SourceAsked":          {event.SourceAsked{}, nil},
	"Swept":                {event.Swept{}, nil},
	"ConnectorFailed":      {event.ConnectorFailed{}, []Type{ConnectorFailed}},
	"AllConnectorsFail":    {event.AllConnectorsFail{}, []Type{AllConnectorsFailed}},
	"ConnectorRecovered":   {event.ConnectorRecovered{}, []Type{ConnectorRecovered}},
	"ConfigurationApplied": {event.ConfigurationApplied{}, []Type{ConfigurationInUse}},
	"KeysRotated":          {event.KeysRotated{}, []Type{KeysRotated}},
	"Changed":              {event.Changed{}, []Type{AdminChanged}},
	"CallEnded":            {event.CallEnded{Err: errors.New("no")}, []Type{AdminCall}},
}

func TestEveryEventIsDecidedOn(t *testing.T) {
	declared := declaredEvents(t)
	if len(declared) < 20 {
		t.Fatalf("found only the events %v", declared)
	}
	known := names(Types)
	reasons := names(Reasons)
	for _, name := range declared {
		decided, ok := decidedTypes[name]
		if !ok {
			t.Errorf("nobody has decided what the audit says of event.%s", name)
			continue
		}
		records, ok := recordsOf(decided.event)
		if !ok {
			t.Errorf("the audit has no case for event.%s", name)
		}
		var types []Type
		for _, r := range records {
			types = append(types, r.Type)
			if !slices.Contains(known, string(r.Type)) {
				t.Errorf("%s: Types doesn't have %q", name, r.Type)
			}
			if r.Outcome == Failure && !slices.Contains(reasons, string(r.Reason)) {
				t.Errorf("%s: Reasons doesn't have %q", name, r.Reason)
			}
		}
		if !slices.Equal(types, decided.types) {
			t.Errorf("event.%s makes the records %v, want %v", name, types, decided.types)
		}
	}
	if _, ok := recordsOf(unknown{}); ok {
		t.Error("the audit has a case for an event that does not exist")
	}
}

// unknown is an event that is not declared in package event.
type unknown struct{ event.Event }

// declaredEvents returns the names of the events of package event, from its source.
func declaredEvents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../event/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range declarations(t, files...) {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Name.Name != "event" {
			continue
		}
		if receiver, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
			found = append(found, receiver.Name)
		}
	}
	return found
}

func declarations(t *testing.T, files ...string) []ast.Decl {
	t.Helper()
	var all []ast.Decl
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file.Decls...)
	}
	return all
}

// Each constant of vocabulary.go is documented, and so in the schema.
func TestEveryWordIsDocumented(t *testing.T) {
	known := append(names(Types), names(Reasons)...)
	count := 0
	for _, d := range declarations(t, "vocabulary.go") {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			constant := spec.(*ast.ValueSpec)
			kind := constant.Type.(*ast.Ident).Name
			if kind != "Type" && kind != "Reason" {
				continue
			}
			count++
			value := strings.Trim(constant.Values[0].(*ast.BasicLit).Value, `"`)
			if !slices.Contains(known, value) {
				t.Errorf("%s is in neither Types nor Reasons", value)
			}
		}
	}
	if count != len(known) {
		t.Errorf("%d constants, and %d words", count, len(known))
	}
}

// Why something ended or was refused is never left out because a list lacks it.
func TestEveryCauseHasAReason(t *testing.T) {
	values := func(kind string) []string {
		files, err := filepath.Glob("../event/*.go")
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, d := range declarations(t, files...) {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				constant := spec.(*ast.ValueSpec)
				if of, ok := constant.Type.(*ast.Ident); ok && of.Name == kind {
					found = append(found, strings.Trim(constant.Values[0].(*ast.BasicLit).Value, `"`))
				}
			}
		}
		if len(found) == 0 {
			t.Errorf("found no values of event.%s", kind)
		}
		return found
	}
	for _, why := range values("SessionEnd") {
		if endings[event.SessionEnd(why)].reason == "" {
			t.Errorf("sessions that end as %q have no reason", why)
		}
	}
	for _, why := range values("FactorRefusal") {
		if factorReasons[event.FactorRefusal(why)] == "" {
			t.Errorf("factors that are refused as %q have no reason", why)
		}
	}
	for _, outcome := range values("ResetOutcome") {
		if resets[event.ResetOutcome(outcome)] == "" && event.ResetOutcome(outcome) != event.ResetMailed {
			t.Errorf("password resets that end as %q have no reason", outcome)
		}
	}
	for _, endpoint := range values("Endpoint") {
		if refusals[event.Endpoint(endpoint)] == "" {
			t.Errorf("refusals at %q have no type", endpoint)
		}
	}
}

// How many names a list leaves out is said whatever stands for people.
func TestListsThatAreCut(t *testing.T) {
	t.Parallel()
	var users []string
	for i := range maxItems + 5 {
		users = append(users, strconv.Itoa(i)+"@example.com")
	}
	for _, mode := range []PersonalData{Full, Hashed, None} {
		var written bytes.Buffer
		out := &stream{w: struct {
			io.Writer
			io.Closer
		}{&written, io.NopCloser(nil)}}
		a := &Audit{privacy: privacy{mode: mode, key: []byte("k")}, outlets: []*outlet{newOutlet("test", out, nil, slog.New(slog.DiscardHandler))}}
		go a.outlets[0].run()
		a.Emit(t.Context(), event.ConfigurationApplied{UserChanges: event.Difference{Added: users}})
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(written.String(), `"5 more"]`) {
			t.Errorf("%s: %s", mode, written.String())
		}
		if mode != Full && strings.Contains(written.String(), "@example.com") {
			t.Errorf("%s: a name is in %s", mode, written.String())
		}
	}
}
