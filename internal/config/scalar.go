package config

import (
	"encoding/base64"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Files have always been read as YAML 1.1, but the parser reads YAML 1.2. So scalars are interpreted here, from their text and
// whether it was quoted.

const quotedStyles = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// isPlain reports whether a scalar may be something other than text.
func isPlain(n *yaml.Node) bool {
	if n.Style&yaml.TaggedStyle == 0 {
		return n.Style&quotedStyles == 0
	}
	switch n.ShortTag() {
	case "!!bool", "!!int", "!!float":
		return true
	default:
		return false
	}
}

// scalarText returns a scalar as text, as it is written.
func scalarText(n *yaml.Node) string {
	if n.ShortTag() != "!!binary" {
		return n.Value
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
	if err != nil {
		return n.Value
	}
	return string(data)
}

// parseBool reads the booleans of YAML 1.1.
func parseBool(text string) (value, ok bool) {
	switch text {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE":
		return true, true
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE":
		return false, true
	default:
		return false, false
	}
}

// parseInt reads the integers of YAML 1.1: 10, -10, 1_000, 0x1F, 0b11, and 010 and 0o10 for eight.
func parseInt(text string) (value int64, ok bool) {
	if !beginsLikeNumber(text) {
		return 0, false
	}
	value, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
	return value, err == nil
}

// parseUint is parseInt for numbers that only fit without a sign.
func parseUint(text string) (value uint64, ok bool) {
	if !beginsLikeNumber(text) {
		return 0, false
	}
	value, err := strconv.ParseUint(strings.ReplaceAll(strings.TrimPrefix(text, "+"), "_", ""), 0, 64)
	return value, err == nil
}

var floatSyntax = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// parseFloat reads the decimal fractions of YAML 1.1. Infinities and NaN are not among them; see isInfinite.
func parseFloat(text string) (value float64, ok bool) {
	text = strings.ReplaceAll(text, "_", "")
	if !floatSyntax.MatchString(text) {
		return 0, false
	}
	value, err := strconv.ParseFloat(text, 64)
	return value, err == nil
}

// isInfinite reports whether text is an infinity or a NaN, which JSON doesn't have.
func isInfinite(text string) bool {
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case ".inf", ".nan":
		return true
	default:
		return false
	}
}

// parseWhole is parseInt that also accepts whole numbers written as fractions, such as 1e3 and 5432.0.
func parseWhole(text string) (value int64, ok bool) {
	if value, ok = parseInt(text); ok {
		return value, true
	}
	const exact = 1 << 53 // above it, one float stands for several integers
	f, ok := parseFloat(text)
	if !ok || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0, false
	}
	return int64(f), true
}

func beginsLikeNumber(text string) bool {
	return text != "" && strings.ContainsRune("+-0123456789", rune(text[0]))
}
