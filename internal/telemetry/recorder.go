package telemetry

import "net/http"

// A Recorder is a ResponseWriter that remembers the answer's status and size. Flushing and the like go through
// [http.ResponseController].
type Recorder struct {
	http.ResponseWriter
	status int
	size   int64
}

// Record returns a Recorder of what is written to w.
func Record(w http.ResponseWriter) Recorder { return Recorder{ResponseWriter: w} }

// Status returns the final status of the answer; 0 if it has not begun.
func (r *Recorder) Status() int { return r.status }

// Size returns how many bytes of the answer's body have been written.
func (r *Recorder) Size() int64 { return r.size }

// WriteHeader begins the answer.
func (r *Recorder) WriteHeader(status int) {
	interim := status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
	if r.status == 0 && !interim {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (r *Recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.size += int64(n)
	return n, err
}

// Unwrap serves [http.ResponseController].
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
