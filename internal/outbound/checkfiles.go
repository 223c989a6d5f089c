package outbound

import "fmt"

// CheckRootCAs returns what is wrong with the authorities that NewClient should trust, by their key in the settings.
func CheckRootCAs(rootCAs []string) map[string]error {
	found := map[string]error{}
	for i, ca := range rootCAs {
		if err := CheckRootCA(ca); err != nil {
			found[fmt.Sprintf("rootCAs[%d]", i)] = err
		}
	}
	return found
}

// CheckRootCA returns what is wrong with an authority that has a key of its own; nothing if it is empty.
func CheckRootCA(ca string) error {
	if _, err := Pool([]string{ca}); err != nil {
		return errNoAuthority
	}
	return nil
}
