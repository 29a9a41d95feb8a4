// Command lodged is the daemon of lodge.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version and commit are set by the Makefile from git.
var version, commit = "dev", ""

// gcPercent trades a little CPU for memory: lodged stands beside the guests that
// the memory is for. GOGC in the environment wins.
const gcPercent = 15

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "lodged: %v\n", err)
		os.Exit(1)
	}
}
