package relyingparty

import (
	"encoding/json"
	"fmt"
)

// An ID is an identifier in a provider's answer: a whole number, in decimal digits as the provider has it, or a text. It is
// empty for null, and for the number 0: APIs written in Go say that of somebody who has none, and so of more than one.
type ID string

// UnmarshalJSON implements json.Unmarshaler.
func (i *ID) UnmarshalJSON(data []byte) error {
	if string(data) == "null" || string(data) == "0" {
		*i = ""
		return nil
	}
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(i))
	}
	for at, digit := range data {
		isSign := at == 0 && digit == '-' && len(data) > 1
		if (digit < '0' || digit > '9') && !isSign {
			return fmt.Errorf("an id is %.40q, and must be a whole number or a text", data)
		}
	}
	*i = ID(data)
	return nil
}
