package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/api/wire"
)

func streamMessage(seq int) string {
	return fmt.Sprintf("id: %d\nevent: instance.running\ndata: {\"seq\":%d,\"type\":\"instance.running\"}\n\n", seq, seq)
}

// script serves one part a connection, each as it is, and remembers the queries.
func script(t *testing.T, asked *[]string, parts ...string) *Client {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.RawQuery)
		part := parts[min(len(*asked), len(parts))-1]
		if code, ok := strings.CutPrefix(part, "fail "); ok {
			status := 500
			_, _ = fmt.Sscan(code, &status)
			answer(w, status, wire.Failure{Status: status, Code: "x", Detail: "No."})
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if cut, ok := strings.CutSuffix(part, "CUT"); ok {
			_, _ = w.Write([]byte(cut))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte(part))
	})
}

func TestAStreamGoesOnBehindTheLastWholeEvent(t *testing.T) {
	end := "event: end\ndata: {\"status\":401,\"code\":\"unauthorized\",\"detail\":\"The token was revoked.\"}\n\n"
	later := "event: end\ndata: {\"status\":503,\"code\":\"unavailable\",\"detail\":\"lodged is stopping.\"}\n\n"
	half := streamMessage(4)
	var asked []string
	c := script(t, &asked,
		"id: 1\nretry: 1000\n\n"+": still here\n\n"+streamMessage(2),
		streamMessage(2)+streamMessage(3)+half[:len(half)-1], // a clean end in mid-message
		half[:9]+"CUT",
		"fail 503",
		"id: 4", // would be a place to go on from, if it were whole
		streamMessage(4)+later,
		streamMessage(9)+end)
	var got []int64
	var breaks int
	var last error
	for e, err := range c.StreamEvents(t.Context(), StreamQuery{FromNow: true, Instance: "i", Broken: func(error, time.Duration) { breaks++ }}) {
		if last = err; err == nil {
			got = append(got, e.Seq)
		}
	}
	if !slices.Equal(got, []int64{2, 3, 4, 9}) || breaks != 6 {
		t.Errorf("got %v with %d breaks", got, breaks)
	}
	if !IsUnauthorized(last) || last.Error() != "The token was revoked." {
		t.Errorf("it ends with %v", last)
	}
	want := []string{"instance=i", "after=2&instance=i", "after=3&instance=i", "after=3&instance=i", "after=3&instance=i", "after=3&instance=i", "after=4&instance=i"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %v", asked)
	}
}

func TestAStreamThatNeverBeganIsNotTriedAgain(t *testing.T) {
	for _, part := range []string{"fail 503", "fail 429", "fail 404", "CUT"} {
		var asked []string
		c := script(t, &asked, part)
		n := 0
		for _, err := range c.StreamEvents(t.Context(), StreamQuery{}) {
			if n++; err == nil {
				t.Errorf("%s: no error", part)
			}
		}
		if n != 1 || len(asked) != 1 || asked[0] != "after=0" {
			t.Errorf("%s: %d items, asked %v", part, n, asked)
		}
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	for _, err := range c.StreamEvents(t.Context(), StreamQuery{}) {
		if err == nil || IsUnreachable(err) {
			t.Errorf("a proxy's page gives %v", err)
		}
	}
}

func TestWhoFollowsMayStop(t *testing.T) {
	ended := make(chan struct{}, 2)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(streamMessage(1) + streamMessage(2)))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		ended <- struct{}{}
	})
	for e, err := range c.StreamEvents(t.Context(), StreamQuery{}) {
		if err != nil || e.Seq != 1 {
			t.Fatalf("%+v, %v", e, err)
		}
		break
	}
	<-ended
	ctx, cancel := context.WithCancel(t.Context())
	var last error
	for e, err := range c.StreamEvents(ctx, StreamQuery{After: 1}) {
		if last = err; err == nil && e.Seq == 2 {
			cancel()
		}
	}
	cancel()
	<-ended
	if !errors.Is(last, context.Canceled) {
		t.Errorf("it ends with %v", last)
	}
}
