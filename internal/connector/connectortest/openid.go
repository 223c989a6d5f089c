package connectortest

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// keyID is the id of the key with which a Hosted signs.
const keyID = "1"

// Sign returns a token that says this, signed with the key of all providers.
func (h *Hosted) Sign(said Object) string {
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: SigningKey(), KeyID: keyID},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}

// idToken returns the ID token of a login.
func (h *Hosted) idToken(g grant) string {
	said := Object{"aud": h.ClientID, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	if g.nonce != "" {
		said["nonce"] = g.nonce
		if h.NonceOf != nil {
			said["nonce"] = h.NonceOf(g.nonce)
		}
	}
	return h.Sign(Merged(said, h.Claims(g.user)))
}

// accessToken returns an access token that counts from now on.
func (h *Hosted) accessToken(g grant) string {
	token := h.token("access")
	if h.form != nil {
		token = h.form(token, g)
	}
	h.access[token] = g
	return token
}

// serveKeys has the keys with which tokens are signed.
func serveKeys(w http.ResponseWriter, _ *http.Request) {
	Reply(w, http.StatusOK, Object{"keys": []jose.JSONWebKey{{Key: SigningKey().Public(), KeyID: keyID, Use: "sig"}}})
}
