package backchannel

import (
	"net/http"

	"dex/internal/outbound"
)

// SendBy replaces the network.
func (q *Queue) SendBy(send func(*outbound.Guard, *http.Request) (*http.Response, error)) {
	q.send = send
}

// Kind is the name of the kind of the deliveries.
var Kind = kind.Name()
