package event_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"dex/internal/event"
)

func TestFanTellsAllInOrder(t *testing.T) {
	var told []string
	subscriber := func(name string) event.Sink {
		return event.Func(func(_ context.Context, e event.Event) {
			told = append(told, name+" "+e.(event.PreviousSecretUsed).ClientID)
		})
	}
	fan := event.NewFan(slog.New(slog.DiscardHandler), subscriber("first"), subscriber("second"))
	fan.Emit(t.Context(), event.PreviousSecretUsed{ClientID: "app"})
	if got := strings.Join(told, ", "); got != "first app, second app" {
		t.Errorf("told %s", got)
	}
}

func TestFanSurvivesASubscriber(t *testing.T) {
	var log bytes.Buffer
	told := 0
	fan := event.NewFan(slog.New(slog.NewTextHandler(&log, nil)),
		event.Func(func(context.Context, event.Event) { panic("no room left") }),
		event.Func(func(context.Context, event.Event) { told++ }))
	fan.Emit(t.Context(), event.AllConnectorsFail{})
	if told != 1 {
		t.Errorf("the other subscriber was told %d times", told)
	}
	if !strings.Contains(log.String(), `msg="panic in a subscriber to events" err="no room left"`) {
		t.Errorf("the log says %s", &log)
	}
}
