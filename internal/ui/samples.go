package ui

import (
	"net/http"
	"time"
)

// checkPages renders every page, so that a template that uses a field its page doesn't have is found at start rather than
// by the next person to log in.
func (u *UI) checkPages() error {
	for _, sample := range u.samples() {
		if _, err := u.execute(sample.template, sample.data); err != nil {
			return err
		}
	}
	return nil
}

type sample struct {
	template string
	data     any
}

// samples has each page with everything on it and, where templates may branch, with as little as possible. Lists are never
// empty: templates may rely on that.
func (u *UI) samples() []sample {
	base := page{ReqPath: u.cfg.IssuerPath + "/auth/sample", Title: "Sample"}
	connectors := []ConnectorLink{
		{ID: "sample", Name: "Sample", URL: u.cfg.IssuerPath + "/auth/sample?state=1", Type: "ldap"},
		{ID: "local", Name: "Email", URL: u.cfg.IssuerPath + "/auth/local?state=1", Type: "local", Failing: true},
	}
	signedIn := time.Date(2026, time.January, 2, 15, 4, 0, 0, time.UTC)
	return []sample{
		{"login.html", newLoginData(base, LoginPage{Connectors: connectors, Client: "Sample"})},
		{"login.html", newLoginData(base, LoginPage{Connectors: connectors[:1]})},
		{"password.html", newPasswordData(base, PasswordPage{
			PostURL: "/auth/sample/login?state=1", BackLink: "/auth", Username: "jane", UsernamePrompt: "Username",
			Invalid: true, ShowRememberMe: true, RememberMeChecked: true,
			Message: "Sample", Client: "Sample", Connector: "Sample",
		})},
		{"password.html", newPasswordData(base, PasswordPage{PostURL: "/auth/sample/login?state=1"})},
		{"approval.html", newApprovalData(base, ApprovalPage{
			User: "jane", Client: "Sample", AuthReqID: "1", RequestedScopes: []string{"openid", "email", "groups"},
			Email: "jane@example.com", Connector: "Sample", ClientLogoURL: "https://example.com/logo.svg",
			OtherAccountURL: "/auth",
		})},
		{"approval.html", newApprovalData(base, ApprovalPage{
			User: "jane", Client: "Sample", AuthReqID: "1", RequestedScopes: []string{"openid", "email"}, UserCode: "BCDF-GHJK",
		})},
		{"oob.html", newOOBData(base, OOBPage{Code: "1", Lifetime: 10 * time.Minute})},
		{"device.html", newDeviceData(base, DevicePage{
			PostURL: "/device/auth/verify_code", UserCode: "BCDF-GHJK", Invalid: true, Message: "Sample",
		})},
		{"device.html", newDeviceData(base, DevicePage{PostURL: "/device/auth/verify_code"})},
		{"device_confirm.html", newDeviceConfirmData(base, DeviceConfirmPage{
			PostURL: "/device/auth/verify_code", UserCode: "BCDF-GHJK", Client: "Sample",
			RequestedScopes: []string{"openid", "email"},
		})},
		{"device_success.html", deviceResultData{base, DeviceResultPage{ClientName: "Sample"}}},
		{"device_denied.html", deviceResultData{base, DeviceResultPage{ClientName: "Sample", Denied: true}}},
		{"form_post.html", newFormPostData(base, FormPostPage{
			URL: "https://example.com/callback", Fields: []FormField{{Name: "code", Value: "1"}},
		})},
		{"error.html", newErrorData(base, http.StatusBadRequest, ErrorPage{
			ErrMsg: "Sample", Hint: "Sample", RequestID: "1", RetryURL: "/auth",
		})},
		{"error.html", newErrorData(base, http.StatusInternalServerError, ErrorPage{})},
		{"home.html", newHomeData(base, HomePage{
			LoggedIn: true, Username: "jane", Email: "jane@example.com", EmailVerified: true,
			Groups: []string{"staff"}, ConnectorName: "Sample", SignedIn: signedIn,
			SessionExpires: signedIn.Add(time.Hour), SessionExpiryIsIdle: true, IPAddress: "192.0.2.1",
			UserAgent: "Sample/1.0", LogoutURL: "/logout", DiscoveryURL: "/.well-known/openid-configuration",
		})},
		{"home.html", newHomeData(base, HomePage{
			Groups: []string{"staff"}, DiscoveryURL: "/.well-known/openid-configuration",
		})},
	}
}
