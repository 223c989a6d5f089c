package ui

import "net/http"

// A DevicePage asks for the code that a device shows.
type DevicePage struct {
	PostURL  string
	UserCode string // what was typed last, or came in the link
	Invalid  bool   // no device is waiting with this code
	Message  string // why the last attempt failed, instead of the usual text; implies Invalid
}

// Device shows the form for the code of a device.
func (u *UI) Device(w http.ResponseWriter, r *http.Request, status int, p DevicePage) {
	u.render(w, r, status, deviceView, newDeviceData(u.newPage(r, "Connect a device"), p))
}

var deviceView = declare("device.html", func(base page) []sample {
	return []sample{
		{"unknown code", newDeviceData(base, DevicePage{
			PostURL: "/device/auth/verify_code", UserCode: "BCDF-GHJK", Invalid: true,
		})},
		{"another message", newDeviceData(base, DevicePage{
			PostURL: "/device/auth/verify_code", UserCode: "BCDF-GHJK", Message: sampleMessage,
		})},
		{"no code yet", newDeviceData(base, DevicePage{PostURL: "/device/auth/verify_code"})},
	}
})

type deviceData struct {
	page
	DevicePage
}

func newDeviceData(base page, p DevicePage) deviceData {
	p.Invalid = p.Invalid || p.Message != ""
	p.Message = base.lang.Say(p.Message)
	return deviceData{base, p}
}

// A DeviceConfirmPage asks whether a device is the user's own.
type DeviceConfirmPage struct {
	PostURL         string
	UserCode        string // to compare with the device
	Client          string // display name of the application on the device
	RequestedScopes []string
	ClientID        string
	ClientLogoURL   string            // shown only if it is an https URL
	ClientNames     map[string]string // as those of an ApprovalPage
}

// DeviceConfirm asks about a device.
func (u *UI) DeviceConfirm(w http.ResponseWriter, r *http.Request, p DeviceConfirmPage) {
	u.render(w, r, http.StatusOK, deviceConfirmView, newDeviceConfirmData(u.newPage(r, "Is this your device?"), p))
}

var deviceConfirmView = declare("device_confirm.html", func(base page) []sample {
	return []sample{{"question", newDeviceConfirmData(base, DeviceConfirmPage{
		PostURL: "/device/auth/verify_code", UserCode: "BCDF-GHJK", Client: "Television",
		RequestedScopes: []string{"openid", "email"}, ClientID: "tv", ClientLogoURL: "https://example.com/logo.svg",
	})}}
})

type deviceConfirmData struct {
	page
	DeviceConfirmPage
	Permissions []Permission
	Initial     string // of the application, for where its logo is missing
}

func newDeviceConfirmData(base page, p DeviceConfirmPage) deviceConfirmData {
	tidy(&p.Client)
	p.ClientLogoURL = logoURL(p.ClientLogoURL)
	scopes := requested{base.lang, p.ClientID, p.ClientNames}
	return deviceConfirmData{base, p, scopes.describe(p.RequestedScopes), initial(p.Client)}
}

// A DeviceResultPage says how a login for a device ended.
type DeviceResultPage struct {
	ClientName string
	Denied     bool
}

// DeviceResult says that the device is connected, or that it was refused.
func (u *UI) DeviceResult(w http.ResponseWriter, r *http.Request, p DeviceResultPage) {
	tidy(&p.ClientName)
	if p.Denied {
		u.render(w, r, http.StatusOK, deviceDeniedView, deviceResultData{u.newPage(r, "Device refused"), p})
		return
	}
	u.render(w, r, http.StatusOK, deviceSuccessView, deviceResultData{u.newPage(r, "Device connected"), p})
}

var (
	deviceSuccessView = declare("device_success.html", func(base page) []sample {
		return []sample{{"connected", deviceResultData{base, DeviceResultPage{ClientName: "Television"}}}}
	})
	deviceDeniedView = declare("device_denied.html", func(base page) []sample {
		return []sample{{"refused", deviceResultData{base, DeviceResultPage{ClientName: "Television", Denied: true}}}}
	})
)

type deviceResultData struct {
	page
	DeviceResultPage
}
