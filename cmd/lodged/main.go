// Command lodged is the daemon of lodge.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// version and commit are set by the Makefile from git.
var version, commit = "dev", ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go tuneMemory(ctx)
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "lodged: %s\n", sentence(err))
		os.Exit(exitCode(err))
	}
}

// sentence is an error on one line, with a stop.
func sentence(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	return strings.TrimSuffix(s, ".") + "."
}
