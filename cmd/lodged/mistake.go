package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// mistake is an error in how lodged or one of its commands was called. It exits
// with 2, as lodge does: nothing was looked at or changed.
type mistake struct{ error }

func (m mistake) Unwrap() error { return m.error }

func exitCode(err error) int {
	var m mistake
	if errors.As(err, &m) {
		return 2
	}
	return 1
}

// markMistakes makes mistakes of what a command and those below it say of their
// arguments.
func markMistakes(cmd *cobra.Command) {
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return mistake{err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		markMistakes(c)
	}
}
