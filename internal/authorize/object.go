package authorize

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"dex/internal/oauth"
)

// readObject takes from a request object (OpenID Connect Core, section 6) how the application wants to be answered, so that it
// hears that the object is refused. Nothing verifies the object, and nothing else of it is read.
func readObject(form url.Values) {
	object := form.Get("request")
	if object == "" || oauth.TooLong("request", object) {
		return
	}
	_, rest, _ := strings.Cut(object, ".")
	payload, _, _ := strings.Cut(rest, ".")
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return
	}
	var wishes struct {
		State        string `json:"state"`
		ResponseMode string `json:"response_mode"`
		ResponseType string `json:"response_type"`
	}
	if json.Unmarshal(data, &wishes) != nil {
		return
	}
	for name, value := range map[string]string{
		"state": wishes.State, "response_mode": wishes.ResponseMode, "response_type": wishes.ResponseType,
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
}
