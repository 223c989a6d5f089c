package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
)

// Bounds of a value in the log. Values come from providers and strangers, and log collectors cut or drop long lines.
const (
	maxText     = 16 << 10 // bytes: enough for a panic's stack
	maxListed   = 50
	maxListText = 256 // bytes of one item of a list
)

// bounded cuts a text or a list that is too long, and adds its length.
func bounded(v slog.Value) slog.Value {
	switch v.Kind() { //nolint:exhaustive // the others are short
	case slog.KindString:
		if text := v.String(); len(text) > maxText {
			return slog.StringValue(cut(text, maxText))
		}
	case slog.KindAny:
		switch value := v.Any().(type) {
		case []string:
			return boundedList(v, value)
		case error:
			if text := value.Error(); len(text) > maxText {
				return slog.StringValue(cut(text, maxText))
			}
		}
	}
	return v
}

func boundedList(v slog.Value, list []string) slog.Value {
	long := len(list) > maxListed
	for _, item := range list[:min(len(list), maxListed)] {
		long = long || len(item) > maxListText
	}
	if !long {
		return v
	}
	shown := make([]string, 0, maxListed+1)
	for _, item := range list[:min(len(list), maxListed)] {
		shown = append(shown, cut(item, maxListText))
	}
	if len(list) > maxListed {
		shown = append(shown, fmt.Sprintf("... %d in all", len(list)))
	}
	return slog.AnyValue(shown)
}

// cut shortens a text that is longer than a number of bytes, and adds its length.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + fmt.Sprintf("... (%d bytes in all)", len(text))
}
