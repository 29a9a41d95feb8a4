// Litestream as its library, for the test of continuous shipping: the two commands
// that docs/operations.md names, with the words and defaults of the real program,
// to a folder and to S3. The program itself has six more kinds of storage in it and
// takes six times as long to build. A module of its own keeps all of it out of lodge's.
//
//	litestream replicate DATABASE URL
//	litestream restore -o FILE URL
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/benbjohnson/litestream"
	"github.com/benbjohnson/litestream/file"
	_ "github.com/benbjohnson/litestream/s3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "litestream:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "replicate":
		return replicate(ctx, args[1], args[2])
	case len(args) == 4 && args[0] == "restore" && args[1] == "-o":
		return restore(ctx, args[2], args[3])
	}
	return errors.New("usage: litestream replicate DATABASE URL | litestream restore -o FILE URL")
}

// replica is what the program makes of a URL. db is nil for a restore.
func replica(db *litestream.DB, url string) (*litestream.Replica, error) {
	client, err := litestream.NewReplicaClientFromURL(url)
	if err != nil {
		return nil, err
	}
	r := litestream.NewReplicaWithClient(db, client)
	if f, ok := client.(*file.ReplicaClient); ok {
		f.Replica = r
	}
	return r, nil
}

func replicate(ctx context.Context, path, url string) error {
	db := litestream.NewDB(path)
	r, err := replica(db, url)
	if err != nil {
		return err
	}
	db.Replica = r
	store := litestream.NewStore([]*litestream.DB{db}, litestream.DefaultCompactionLevels)
	if err := store.Open(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return store.Close(context.WithoutCancel(ctx))
}

func restore(ctx context.Context, path, url string) error {
	r, err := replica(nil, url)
	if err != nil {
		return err
	}
	opt := litestream.NewRestoreOptions()
	opt.OutputPath = path
	return r.Restore(ctx, opt)
}
