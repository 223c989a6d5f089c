package expression

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Identity is the variable identity. It must not be changed or copied once an expression has seen it.
type Identity struct {
	UserID, Username, PreferredUsername, Email string
	EmailVerified                              bool
	Groups                                     []string

	groups lazyTexts
	boxing sync.Once
	boxed  [4]any // the texts as values, made once and not by each expression
}

// text returns one of the texts.
func (i *Identity) text(n int) any {
	i.boxing.Do(func() {
		for k, text := range [...]string{i.UserID, i.Username, i.PreferredUsername, i.Email} {
			i.boxed[k] = types.String(text)
		}
	})
	return i.boxed[n]
}

// Request is the variable request. It must not be changed or copied once an expression has seen it.
type Request struct {
	ClientID, ConnectorID, RedirectURI string
	Scopes                             []string

	scopes lazyTexts
}

// lazyTexts is a list, made when an expression reads it first.
type lazyTexts struct {
	once sync.Once
	list *texts
}

func (l *lazyTexts) of(all []string) *texts {
	l.once.Do(func() { l.list = newTexts(all) })
	return l.list
}

var (
	identityType = types.NewObjectType("cel.IdentityVal", traits.FieldTesterType|traits.IndexerType)
	requestType  = types.NewObjectType("cel.RequestVal", traits.FieldTesterType|traits.IndexerType)
)

var textList = types.NewListType(types.StringType)

// fields has the members of the objects.
var fields = map[string]map[string]*types.FieldType{
	identityType.TypeName(): {
		"user_id":            field(types.StringType, func(i *Identity) any { return i.text(0) }),
		"username":           field(types.StringType, func(i *Identity) any { return i.text(1) }),
		"preferred_username": field(types.StringType, func(i *Identity) any { return i.text(2) }),
		"email":              field(types.StringType, func(i *Identity) any { return i.text(3) }),
		"email_verified":     field(types.BoolType, func(i *Identity) any { return types.Bool(i.EmailVerified) }),
		"groups":             field(textList, func(i *Identity) any { return i.groups.of(i.Groups) }),
	},
	requestType.TypeName(): {
		"client_id":    field(types.StringType, func(r *Request) any { return types.String(r.ClientID) }),
		"connector_id": field(types.StringType, func(r *Request) any { return types.String(r.ConnectorID) }),
		"redirect_uri": field(types.StringType, func(r *Request) any { return types.String(r.RedirectURI) }),
		"scopes":       field(textList, func(r *Request) any { return r.scopes.of(r.Scopes) }),
	},
}

func field[T any](is *types.Type, get func(*T) any) *types.FieldType {
	return &types.FieldType{
		Type: is,
		// A member is set if it isn't empty.
		IsSet: func(object any) bool {
			of, ok := object.(*T)
			if !ok {
				return false
			}
			switch value := get(of).(type) {
			case types.String:
				return value != ""
			case types.Bool:
				return bool(value)
			case *texts:
				return len(value.all) > 0
			}
			return false
		},
		GetFrom: func(object any) (any, error) {
			of, ok := object.(*T)
			if !ok {
				return nil, fmt.Errorf("is no object of ours: %T", object)
			}
			return get(of), nil
		},
	}
}

// world tells the library about our objects, and turns values of Go into those of CEL.
type world struct{ *types.Registry }

// FindStructType implements types.Provider.
func (w *world) FindStructType(name string) (*types.Type, bool) {
	switch name {
	case identityType.TypeName():
		return types.NewTypeTypeWithParam(identityType), true
	case requestType.TypeName():
		return types.NewTypeTypeWithParam(requestType), true
	}
	return w.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (w *world) FindStructFieldNames(name string) ([]string, bool) {
	if own, ok := fields[name]; ok {
		names := make([]string, 0, len(own))
		for each := range own {
			names = append(names, each)
		}
		return names, true
	}
	return w.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (w *world) FindStructFieldType(name, member string) (*types.FieldType, bool) {
	if own, ok := fields[name]; ok {
		is, found := own[member]
		return is, found
	}
	return w.Registry.FindStructFieldType(name, member)
}

// NativeToValue implements types.Adapter.
func (w *world) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case ref.Val:
		return v
	case string:
		return boundText(v)
	case *Identity:
		return object{is: identityType, native: v}
	case *Request:
		return object{is: requestType, native: v}
	case map[string]any:
		return types.NewStringInterfaceMap(w, v)
	case []any:
		return types.NewDynamicList(w, v)
	case []string:
		return newTexts(v)
	case json.Number:
		return number(v)
	}
	return w.Registry.NativeToValue(value)
}

// number reads a number of a JSON document: an int where it is one.
func number(text json.Number) ref.Val {
	if whole, err := text.Int64(); err == nil {
		return types.Int(whole)
	}
	double, err := text.Float64()
	if err != nil {
		return types.WrapErr(fmt.Errorf("%q is no number that fits", text.String()))
	}
	return types.Double(double)
}

// object is one of our objects as a value, for expressions that do more with it than read its members.
type object struct {
	is     *types.Type
	native any
}

// ConvertToNative implements ref.Val.
func (o object) ConvertToNative(to reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s can't become %s", o.is, to)
}

// ConvertToType implements ref.Val.
func (o object) ConvertToType(to ref.Type) ref.Val {
	if to == types.TypeType {
		return o.is
	}
	return types.NewErr("%s can't become %s", o.is, to.TypeName())
}

// Equal implements ref.Val.
func (o object) Equal(other ref.Val) ref.Val {
	another, ok := other.(object)
	return types.Bool(ok && another.native == o.native)
}

// Type implements ref.Val.
func (o object) Type() ref.Type { return o.is }

// Value implements ref.Val.
func (o object) Value() any { return o.native }

// Get implements traits.Indexer.
func (o object) Get(index ref.Val) ref.Val {
	member, found := fields[o.is.TypeName()][textOf(index)]
	if !found {
		return types.NewErr("no such field: %v", index)
	}
	value, err := member.GetFrom(o.native)
	if err != nil {
		return types.WrapErr(err)
	}
	return value.(ref.Val)
}

// IsSet implements traits.FieldTester.
func (o object) IsSet(name ref.Val) ref.Val {
	member, found := fields[o.is.TypeName()][textOf(name)]
	if !found {
		return types.NewErr("no such field: %v", name)
	}
	return types.Bool(member.IsSet(o.native))
}
