package factor

import "time"

// Code returns what an app shows at a time.
func Code(secret string, at time.Time) string {
	key, err := readSecret(secret)
	if err != nil {
		panic(err)
	}
	return totpCode(key, at.Unix()/totpPeriod)
}
