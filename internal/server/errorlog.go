package server

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// errorLog passes net/http's messages about connections to the log.
type errorLog struct {
	log    *slog.Logger
	server string
}

func newErrorLog(l *slog.Logger, server string) *log.Logger {
	return log.New(errorLog{l, server}, "", 0)
}

// Write logs a line. Failed handshakes and broken HTTP/2 are the clients' fault, mostly port scanners', and should not
// wake an operator.
func (e errorLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	switch {
	case bytes.HasPrefix(line, []byte("http: TLS handshake error")), bytes.HasPrefix(line, []byte("http2: ")):
		level = slog.LevelDebug
	case bytes.HasPrefix(line, []byte("http: panic serving")):
		level = slog.LevelError
	}
	e.log.Log(context.Background(), level, "message of the HTTP server",
		"server", e.server, "err", string(bytes.TrimSpace(line)))
	return len(line), nil
}
