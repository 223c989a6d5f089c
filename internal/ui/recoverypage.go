package ui

import "net/http"

// A RecoveryPage asks for a recovery code, instead of a factor that the user doesn't have at hand. The field is named code.
type RecoveryPage struct {
	PostURL  string // path and query of the request
	Invalid  bool   // the last code was wrong
	Message  string // why, instead of the usual text; implies Invalid
	OtherURL string // leads back to the user's factors; empty if there are none
}

// Recovery shows the form for a recovery code.
func (u *UI) Recovery(w http.ResponseWriter, r *http.Request, status int, p RecoveryPage) {
	u.render(w, r, status, recoveryView, newRecoveryData(u.newPage(r, "Use a recovery code"), p))
}

var recoveryView = declare("recovery.html", func(base page) []sample {
	const post, other = "/mfa/recovery?req=1", "/mfa/choose?req=1"
	return []sample{
		{"wrong code", newRecoveryData(base, RecoveryPage{PostURL: post, Invalid: true, OtherURL: other})},
		{"too many codes", newRecoveryData(base, RecoveryPage{PostURL: post, Message: sampleMessage, OtherURL: other})},
		{"code", newRecoveryData(base, RecoveryPage{PostURL: post})},
	}
})

type recoveryData struct {
	page
	RecoveryPage
}

func newRecoveryData(base page, p RecoveryPage) recoveryData {
	p.Invalid = p.Invalid || p.Message != ""
	p.Message = base.lang.Say(p.Message)
	return recoveryData{base, p}
}

// A RecoveryCodesPage shows recovery codes, which can't be shown again.
type RecoveryCodesPage struct {
	Codes   []string
	PostURL string // where the user goes on, by a post without fields
	Account string // whose they are; may be empty
}

// RecoveryCodes shows new recovery codes.
func (u *UI) RecoveryCodes(w http.ResponseWriter, r *http.Request, status int, p RecoveryCodesPage) {
	base := u.newPage(r, "Save your recovery codes")
	base.back = "" // in another language the page would come without the codes
	u.render(w, r, status, recoveryCodesView, newRecoveryCodesData(base, p))
}

var recoveryCodesView = declare("recovery_codes.html", func(base page) []sample {
	base.back = ""
	codes := []string{
		"K3TR-9YHX-2MFA-WQ7Z", "B6NC-5VDP-XJ4E-T2GU", "M7QW-3ZKL-9RHB-F5YS", "D2XE-J6TV-4CPN-8GAM", "Y5UB-7FQS-K2WD-3HRX",
		"P4GZ-M9EC-6TJY-V7NL", "W8HA-2BKR-5XQF-D3UT", "T6VM-4NYG-P7ZC-J9SE", "F3JL-8WDX-B5MH-6QKA", "R7CS-5TPE-3UVN-2YBG",
	}
	return []sample{
		{"ten codes", newRecoveryCodesData(base, RecoveryCodesPage{Codes: codes, PostURL: "/mfa/recovery?req=1", Account: "jane@example.com"})},
		{"three codes", newRecoveryCodesData(base, RecoveryCodesPage{Codes: codes[:3], PostURL: "/mfa/recovery?req=1"})},
	}
})

type recoveryCodesData struct {
	page
	RecoveryCodesPage
}

func newRecoveryCodesData(base page, p RecoveryCodesPage) recoveryCodesData {
	tidy(&p.Account)
	return recoveryCodesData{base, p}
}
