package backup

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
)

// Place is where backups are kept. Only whole ones are ever listed.
type Place interface {
	// List names the backups, newest first.
	List(ctx context.Context) ([]string, error)
	// Manifest reads what a backup says of itself. Returns CodeNotFound.
	Manifest(ctx context.Context, id string) (Manifest, error)
	// Put keeps one: write is called once, and the manifest that it returns makes
	// the bytes a backup.
	Put(ctx context.Context, id string, write func(io.Writer) (Manifest, error)) error
	// Open reads the archive of a backup.
	Open(ctx context.Context, m Manifest) (io.ReadCloser, error)
	// Delete removes a backup: first from the list, then its bytes. Returns
	// CodeNotFound.
	Delete(ctx context.Context, id string) error
	// Sweep removes what was begun and not ended, of others only when it is older
	// than a day, and returns how much that was.
	Sweep(ctx context.Context, hostID string, now time.Time) (int, error)
}

// leftoverAge is how old something must be to be nobody's any more.
const leftoverAge = 24 * time.Hour

// Options are what a place is told beside where it is.
type Options struct {
	// Credentials is a file as of the AWS tools with the key of a bucket; "" takes
	// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or their usual file.
	Credentials string
}

// OpenPlace opens a folder by its path, or a bucket as
// s3:https://host[:port]/bucket[/prefix][?region=name]. It does not ask it.
func OpenPlace(where string, o Options) (Place, error) {
	if rest, bucket := strings.CutPrefix(where, "s3:"); bucket {
		return openBucket(rest, o)
	}
	if where == "" || !strings.HasPrefix(where, "/") {
		return nil, cloud.Errorf(cloud.CodeInvalid, "The place for backups %q is neither a folder's whole path nor s3:https://host/bucket/prefix.", where)
	}
	return folder{where}, nil
}

// newestFirst sorts names of backups, which begin with their time.
func newestFirst(ids []string) []string {
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids
}
