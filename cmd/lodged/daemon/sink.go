package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"lodge/cloud"
	"lodge/export"
	"lodge/meter"
)

// openSink makes the sender of closed hours; nil when nobody gets them.
func (d *Daemon) openSink(hostID string) (*export.Sender, error) {
	if d.cfg.Sink == "" {
		return nil, nil
	}
	o := export.Options{
		URL: d.cfg.Sink, Source: "urn:uuid:" + hostID, Batch: d.cfg.SinkBatch, Hours: d.db, Events: meter.HourEvents, Now: d.cfg.Now, Log: d.cfg.Log,
		Observe: d.watched.observe,
	}
	if path := d.cfg.SinkTokenFile; path != "" {
		o.Token = func() (string, error) { return readToken(path) }
		if _, err := o.Token(); err != nil {
			return nil, err
		}
	}
	s, err := export.New(o)
	if err != nil {
		return nil, fmt.Errorf("--usage-sink: %w", err)
	}
	return s, nil
}

func readToken(path string) (string, error) {
	token, err := ReadSecret(path)
	if err != nil {
		return "", fmt.Errorf("read the token of the receiver of usage: %w", err)
	}
	if token = strings.TrimSpace(token); token == "" || strings.ContainsAny(token, " ") {
		return "", errors.New("the file with the token of the receiver of usage has no token, or more than one")
	}
	return token, nil
}

// sinkState is for the API; nil when there is no receiver.
func (d *Daemon) sinkState() func(context.Context) (cloud.SinkState, error) {
	if d.sink == nil {
		return nil
	}
	return d.sink.State
}
