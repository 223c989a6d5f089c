package login

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"google.golang.org/protobuf/encoding/protowire"
)

// stepMAC authenticates the address of a step, so that only the step before it leads there. The message is a protobuf message
// with both values in field 1, as in upstream's addresses.
func stepMAC(key []byte, requestID, label string) string {
	var message []byte
	for _, value := range []string{requestID, label} {
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendString(message, value)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func validMAC(key []byte, requestID, label, presented string) bool {
	return hmac.Equal([]byte(stepMAC(key, requestID, label)), []byte(presented))
}
