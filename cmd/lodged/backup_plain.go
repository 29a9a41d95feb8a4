package main

import (
	"github.com/spf13/cobra"

	"lodge/cmd/lodged/daemon"
)

// spoken is an error without the codes in it, which are for programs that ask the
// API.
type spoken struct {
	error
	text string
}

func (p spoken) Error() string { return p.text }

func (p spoken) Unwrap() error { return p.error }

func plainly(err error) error {
	if err == nil {
		return nil
	}
	return spoken{err, daemon.Plain(err)}
}

// speakPlainly has commands say sentences.
func speakPlainly(all []*cobra.Command) {
	for _, c := range all {
		run := c.RunE
		c.RunE = func(cmd *cobra.Command, args []string) error { return plainly(run(cmd, args)) }
	}
}
