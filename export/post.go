package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"lodge/cloud"
)

// The media types of the JSON format of CloudEvents 1.0.
const (
	mediaOne  = "application/cloudevents+json; charset=utf-8"
	mediaMany = "application/cloudevents-batch+json; charset=utf-8"
)

// event is a CloudEvent in its JSON format.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
type event struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	Data            any    `json:"data"`
}

// post is the way to a receiver.
type post struct {
	url, shown, source string
	single             bool
	token              func() (string, error)
	client             *http.Client
}

func newPost(o Options) (*post, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		return nil, errors.New("the address of a receiver is an http or https URL without a fragment")
	}
	if o.Token != nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, errors.New("a token goes over https only, or to a loopback address")
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path} // a query or a user may be a secret
	return &post{
		url: o.URL, shown: shown.String(), source: o.Source, single: o.Batch == 1, token: o.Token,
		client: &http.Client{
			Timeout:       o.Pace.Timeout,
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// refusal is an answer that is no 2xx.
type refusal struct {
	status int
	after  time.Duration // its Retry-After
}

func (r *refusal) Error() string { return fmt.Sprintf("the receiver answered %d", r.status) }

// send gives events to the receiver. Without an error it has taken all of them.
func (p *post) send(ctx context.Context, events []cloud.UsageEvent) error {
	body, media, err := p.render(events)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("User-Agent", "lodged")
	if p.token != nil {
		token, err := p.token()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) { // its text has the whole URL in it
			err = inner.Err
		}
		return fmt.Errorf("send usage: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // the status says it all
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &refusal{status: resp.StatusCode, after: retryAfter(resp.Header.Get("Retry-After"))}
	}
	return nil
}

func (p *post) render(events []cloud.UsageEvent) (body []byte, media string, err error) {
	out := make([]event, 0, len(events))
	for _, e := range events {
		out = append(out, event{
			SpecVersion: "1.0", ID: e.ID, Source: p.source, Type: e.Type, Subject: e.Subject,
			Time: e.Time.UTC().Format(time.RFC3339Nano), DataContentType: "application/json", Data: e.Data,
		})
	}
	if p.single {
		body, err = json.Marshal(out[0])
		return body, mediaOne, err
	}
	body, err = json.Marshal(out)
	return body, mediaMany, err
}

// retryAfter reads the seconds of a Retry-After; 0 for what is no number of them.
func retryAfter(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 24*3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// sentence is the failure for the operator to read.
func sentence(err error) string {
	var refused *refusal
	var timeout net.Error
	switch {
	case errors.As(err, &refused):
		return fmt.Sprintf("The receiver of usage answered %d; it is asked again.", refused.status)
	case errors.As(err, &timeout) && timeout.Timeout():
		return "The receiver of usage did not answer in time; it is asked again."
	}
	var wrong *differs
	if errors.As(err, &wrong) {
		return fmt.Sprintf("The hour %s of tenant %s does not come out as it was closed, so nothing is sent from there on; run lodge usage verify and restore what was changed.",
			wrong.hour.Hour.UTC().Format(time.RFC3339), wrong.hour.TenantID)
	}
	var known *cloud.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return "The receiver of usage could not be reached, or cut the connection; it is asked again."
}
