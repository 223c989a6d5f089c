package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// decodedJWT is a compact JWS taken apart for reading. Nothing is verified.
type decodedJWT struct {
	// The three parts as encoded in the token.
	Header, Claims, Signature string
	HeaderJSON, ClaimsJSON    string
	Times                     []*moment
}

// decodeJWT returns nil if the token is not a JWT; access tokens need not be.
func decodeJWT(token string, now time.Time) *decodedJWT {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	header, headerOK := decodeObject(parts[0])
	claims, claimsOK := decodeObject(parts[1])
	if !headerOK || !claimsOK {
		return nil
	}
	return &decodedJWT{
		Header:     parts[0],
		Claims:     parts[1],
		Signature:  parts[2],
		HeaderJSON: indented(header),
		ClaimsJSON: indented(claims),
		Times:      claimTimes(claims, now),
	}
}

func decodeObject(part string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, false
	}
	var object map[string]json.RawMessage
	return raw, json.Unmarshal(raw, &object) == nil
}

// claimTimes reads the claims that are times, in seconds since 1970.
func claimTimes(claims []byte, now time.Time) []*moment {
	var seconds struct {
		AuthTime  float64 `json:"auth_time"`
		IssuedAt  float64 `json:"iat"`
		NotBefore float64 `json:"nbf"`
		Expiry    float64 `json:"exp"`
	}
	if err := json.Unmarshal(claims, &seconds); err != nil {
		return nil
	}
	var times []*moment
	for _, claim := range []struct {
		name    string
		seconds float64
	}{
		{"auth_time", seconds.AuthTime},
		{"iat", seconds.IssuedAt},
		{"nbf", seconds.NotBefore},
		{"exp", seconds.Expiry},
	} {
		if claim.seconds > 0 {
			times = append(times, newMoment(claim.name, time.Unix(int64(claim.seconds), 0), now))
		}
	}
	return times
}

// moment is a point in time for people.
type moment struct {
	Name    string // what happens then; may be empty
	Machine string // for the datetime attribute
	Clock   string
	Away    string // how far from now
	Past    bool
}

// newMoment returns nil for the zero time.
func newMoment(name string, t, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	away := t.Sub(now)
	return &moment{
		Name:    name,
		Machine: t.Format(time.RFC3339),
		Clock:   t.Format("2 Jan 2006 15:04:05 UTC"),
		Away:    relative(away),
		Past:    away < 0,
	}
}

// relative says how far away a moment is, in its two largest units.
func relative(away time.Duration) string {
	text := func(d time.Duration) string {
		switch {
		case d >= 24*time.Hour:
			return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
		case d >= time.Hour:
			return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
		case d >= time.Minute:
			return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
		}
		return fmt.Sprintf("%d s", d/time.Second)
	}
	away = away.Round(time.Second)
	switch {
	case away < 0:
		return text(-away) + " ago"
	case away == 0:
		return "now"
	}
	return "in " + text(away)
}
