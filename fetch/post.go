package fetch

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"lodge/cloud"
)

const (
	// postTime bounds a whole POST with its answer.
	postTime = 15 * time.Second
	// postAnswer is how much of an answer is read: nobody looks at it.
	postAnswer = 4 << 10
)

// Post sends a body to a URL and returns the status of the answer, whatever it is;
// 0 when there was none. The same addresses are refused as by Fetch, and a
// redirect is not followed: the body is meant for the URL that was named. Returns
// CodeURLRefused when the URL or what it leads to is not allowed, CodeURLFailed
// when there is no answer.
func (f *Fetcher) Post(ctx context.Context, rawURL string, header map[string]string, body string) (status int, err error) {
	u, err := f.parse(rawURL)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(body))
	if err != nil {
		return 0, cloud.Wrap(cloud.CodeURLRefused, err, "The URL cannot be read.")
	}
	req.Header.Set("User-Agent", f.o.UserAgent)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	client := *f.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		if isTimeout(err) {
			return 0, &cloud.Error{Code: cloud.CodeURLFailed, Message: "The URL's host did not answer in time.", Cause: err}
		}
		return 0, f.fetchError(ctx, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, postAnswer) // the status is the answer
	return resp.StatusCode, nil
}
