package expression

import (
	"errors"
	"fmt"
	"math"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Bounds of results.
const (
	// MaxResult bounds what Any returns, in bytes of its texts and names and 8 for each other value.
	MaxResult = 64 << 10
	maxTexts  = 1 << 20 // what Strings returns, in bytes
	maxDepth  = 16
	maxText   = 16 << 10 // any text that an expression reads or makes, in bytes
	maxRegexp = 1000     // instructions
)

var errTooLarge = errors.New("the result is too large")

// boundText is a text, unless it is so long that working on it could take long.
func boundText(text string) ref.Val {
	if len(text) > maxText {
		return types.NewErr("a text of %d bytes is longer than the %d that expressions work on", len(text), maxText)
	}
	return types.String(text)
}

func wrongType(want Type, value ref.Val) error {
	return fmt.Errorf("the result must be %s, and is %s", want, value.Type().TypeName())
}

// stringsOf returns a list of strings as Go has it.
func stringsOf(value ref.Val) ([]string, error) {
	if own, ok := value.(*texts); ok {
		return own.all, nil
	}
	list, ok := value.(traits.Lister)
	if !ok {
		return nil, wrongType(StringList, value)
	}
	all, room := make([]string, 0, sizeOf(list)), maxTexts
	for each := list.Iterator(); each.HasNext() == types.True; {
		element := each.Next()
		text, ok := element.(types.String)
		if !ok {
			return nil, fmt.Errorf("the result must be a list of strings, and has %s in it", element.Type().TypeName())
		}
		if room -= len(text); room < 0 {
			return nil, errTooLarge
		}
		all = append(all, string(text))
	}
	return all, nil
}

// plainValue returns a value as JSON has it. What room there is for its parts is taken from room.
func plainValue(value ref.Val, room *int, depth int) (any, error) {
	const other = 8
	if *room -= other; *room < 0 || depth == 0 {
		return nil, errTooLarge
	}
	switch v := value.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("the result has %d, which is too large a number", uint64(v))
		}
		return int64(v), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, errors.New("the result has a number that JSON can't hold")
		}
		return float64(v), nil
	case types.String:
		if *room -= len(v); *room < 0 {
			return nil, errTooLarge
		}
		return string(v), nil
	case traits.Lister:
		return plainList(v, room, depth-1)
	case traits.Mapper:
		return plainMap(v, room, depth-1)
	}
	return nil, fmt.Errorf("the result has a value of the type %s; string() makes a text of most", value.Type().TypeName())
}

func plainList(list traits.Lister, room *int, depth int) (any, error) {
	all := []any{}
	for each := list.Iterator(); each.HasNext() == types.True; {
		element, err := plainValue(each.Next(), room, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, element)
	}
	return all, nil
}

func plainMap(members traits.Mapper, room *int, depth int) (any, error) {
	all := map[string]any{}
	for each := members.Iterator(); each.HasNext() == types.True; {
		key := each.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("the result has a map whose keys are %s; JSON has texts", key.Type().TypeName())
		}
		*room -= len(name)
		member, err := plainValue(members.Get(key), room, depth)
		if err != nil {
			return nil, err
		}
		all[string(name)] = member
	}
	return all, nil
}
