package outbound

import "fmt"

// CheckRootCAs returns what is wrong with the authorities that NewClient should trust, by their key in the settings.
func CheckRootCAs(rootCAs []string) map[string]error {
	found := map[string]error{}
	for i, ca := range rootCAs {
		if _, err := Pool([]string{ca}); err != nil {
			found[fmt.Sprintf("rootCAs[%d]", i)] = errNoAuthority
		}
	}
	return found
}
