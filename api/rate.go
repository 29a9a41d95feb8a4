package api

import (
	"net/http"
	"strconv"
	"time"

	"lodge/cloud"
)

// spend takes the request out of what its caller may send, and says in the
// headers of draft-ietf-httpapi-ratelimit-headers-06 what is left. (Later drafts
// have one header for all of it, which hardly a client reads.)
func (s *server) spend(w http.ResponseWriter, c cloud.Caller) error {
	if s.Rates == nil {
		return nil
	}
	a, limited := s.Rates.Spend(s.Now(), c)
	if !limited {
		return nil
	}
	h := w.Header()
	h["Ratelimit-Limit"] = number(a.Limit)
	h["Ratelimit-Remaining"] = number(a.Left)
	h["Ratelimit-Reset"] = number(int((a.Full + time.Second - 1) / time.Second))
	if a.Wait == 0 {
		return nil
	}
	return &cloud.Error{
		Code: cloud.CodeRateLimited, RetryAfter: a.Wait,
		Message: "Too many requests; send fewer, and this one again after the seconds in Retry-After.",
	}
}

// numbers are the values of headers that most answers carry: made once, never
// changed.
var numbers = func() (out [256][]string) {
	for i := range out {
		out[i] = []string{strconv.Itoa(i)}
	}
	return out
}()

func number(n int) []string {
	if n >= 0 && n < len(numbers) {
		return numbers[n]
	}
	return []string{strconv.Itoa(n)}
}
