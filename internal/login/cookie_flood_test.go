package login_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestCookieFlood shows that a stranger's request with thousands of cookies, each named like that of a login, is answered as fast
// as others, and not with a header that no proxy takes.
func TestCookieFlood(t *testing.T) {
	h := newFlow(t, &source{}, at(t, "http://dex.test"))
	cookies := map[string]string{}
	for i := range 2900 {
		cookies[fmt.Sprintf("dex_login_%d", i)] = ""
	}
	v := &visitor{t: t, handler: h, cookies: cookies}
	began := time.Now()
	w := v.begin(nil)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if w.Code >= http.StatusBadRequest {
		t.Errorf("status %d", w.Code)
	}
	if n := len(w.Header()["Set-Cookie"]); n < 2 || n > 50 {
		t.Errorf("the answer sets %d cookies", n)
	}
}
