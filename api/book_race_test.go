package api_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lodge/api"
	"net/http/httptest"
	"strings"
)

// Who sets a price may have looked at the clock before another one set it, and
// come to the book after: that is a price or a refusal, and no defect.
func TestPricesThatAreReplacedAtOnce(t *testing.T) {
	var late atomic.Int64
	start := time.Date(2026, 11, 5, 10, 0, 30, 0, time.UTC)
	h := newHouse(t, func(o *api.Options) {
		// The clock of each later request is behind that of the one before.
		o.Now = func() time.Time { return start.Add(-time.Duration(late.Add(1)) * time.Millisecond) }
	})
	body := `{"meter":"vcpu","unit_price":"%d","currency":"EUR","valid_from":"2027-01","replace":true}`
	h.do("POST", "/v1/prices", fmt.Sprintf(body, 1)).want(201)
	for n := range 3 {
		h.do("POST", "/v1/prices", fmt.Sprintf(body, n+2)).want(201)
	}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			req := httptest.NewRequest("POST", "/v1/prices", strings.NewReader(fmt.Sprintf(body, n+10)))
			req.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			if rec.Code != 201 && rec.Code != 409 {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	wg.Wait()
}
