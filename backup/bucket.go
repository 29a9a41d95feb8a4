package backup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"lodge/cloud"
)

// bucket keeps each backup as two objects below its name: the archive, and then
// the manifest. The archive is sent in parts, which S3 makes an object when all
// are there.
type bucket struct {
	client *minio.Client
	name   string
	prefix string // "" or with a slash at its end
}

// partBytes is how much is sent at once, and held in memory: S3 takes 10,000 of
// them, 160 GB together.
const partBytes = 16 << 20

func openBucket(where string, o Options) (Place, error) {
	u, err := url.Parse(where)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return nil, cloud.Errorf(cloud.CodeInvalid, "The place for backups is not written as s3:https://host/bucket/prefix; keys stand in a file or in the environment.")
	}
	name, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if name == "" {
		return nil, cloud.Errorf(cloud.CodeInvalid, "The place for backups names no bucket; write s3:https://host/bucket/prefix.")
	}
	if prefix != "" {
		prefix = path.Clean(prefix) + "/"
	}
	c, err := minio.New(u.Host, &minio.Options{
		Creds:  credentials.New(keysOf(o.Credentials)),
		Secure: u.Scheme == "https", Region: u.Query().Get("region"), MaxRetries: 5,
	})
	if err != nil {
		return nil, fmt.Errorf("the place for backups: %w", err)
	}
	return bucket{c, name, prefix}, nil
}

func (b bucket) key(id, name string) string { return b.prefix + id + "/" + name }

// said makes what S3 says an error with a code.
func said(what, id string, err error) error {
	switch code := minio.ToErrorResponse(err).Code; {
	case err == nil:
		return nil
	case code == minio.NoSuchKey && id != "":
		return noBackup(id)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (b bucket) List(ctx context.Context) (ids []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the listing goes on otherwise
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, said("list the backups", "", o.Err)
		}
		id, file, _ := strings.Cut(strings.TrimPrefix(o.Key, b.prefix), "/")
		if file == manifestName && IsID(id) {
			ids = append(ids, id)
		}
	}
	return newestFirst(ids), ctx.Err()
}

func (b bucket) Manifest(ctx context.Context, id string) (Manifest, error) {
	if !IsID(id) {
		return Manifest{}, noBackup(id)
	}
	o, err := b.client.GetObject(ctx, b.name, b.key(id, manifestName), minio.GetObjectOptions{})
	if err != nil {
		return Manifest{}, said("read the manifest", id, err)
	}
	defer o.Close()
	text, err := io.ReadAll(io.LimitReader(o, maxManifest))
	if err != nil {
		return Manifest{}, said("read the manifest", id, err)
	}
	return decode(text, id)
}

func (b bucket) Put(ctx context.Context, id string, write func(io.Writer) (Manifest, error)) error {
	r, w := io.Pipe()
	type made struct {
		m   Manifest
		err error
	}
	done := make(chan made, 1)
	go func() {
		m, err := write(w)
		w.CloseWithError(err) // nil is the end
		done <- made{m, err}
	}()
	// The name of the archive is known before it is made only by its kind, and that
	// is in the manifest: the object has one name for both.
	key := b.key(id, objectName)
	_, err := b.client.PutObject(ctx, b.name, key, r, -1, minio.PutObjectOptions{PartSize: partBytes, ContentType: "application/octet-stream"})
	r.CloseWithError(err)
	got := <-done
	if err == nil { // else it is the same error, or what came of it
		err = got.err
	}
	if err != nil {
		return b.undo(ctx, id, said("send a backup", "", err))
	}
	text, err := got.m.encode()
	if err == nil {
		_, err = b.client.PutObject(ctx, b.name, b.key(id, manifestName), bytes.NewReader(text), int64(len(text)), minio.PutObjectOptions{ContentType: "application/json"})
	}
	if err != nil {
		return b.undo(ctx, id, said("send the manifest", "", err))
	}
	return nil
}

const objectName = "data"

// undo removes what was sent of a backup that came to nothing.
func (b bucket) undo(ctx context.Context, id string, cause error) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	// What cannot be removed now is swept later.
	_ = b.client.RemoveObject(last, b.name, b.key(id, objectName), minio.RemoveObjectOptions{})
	_ = b.client.RemoveIncompleteUpload(last, b.name, b.key(id, objectName))
	return cause
}

func (b bucket) Open(ctx context.Context, m Manifest) (io.ReadCloser, error) {
	o, err := b.client.GetObject(ctx, b.name, b.key(m.ID, objectName), minio.GetObjectOptions{})
	if err != nil {
		return nil, said("read a backup", "", err)
	}
	return o, nil
}

func (b bucket) Delete(ctx context.Context, id string) error {
	if _, err := b.Manifest(ctx, id); cloud.CodeOf(err) == cloud.CodeNotFound {
		return err
	}
	for _, name := range []string{manifestName, objectName} {
		if err := b.client.RemoveObject(ctx, b.name, b.key(id, name), minio.RemoveObjectOptions{}); err != nil {
			return said("delete a backup", "", err)
		}
	}
	return nil
}

func (b bucket) Sweep(ctx context.Context, _ string, now time.Time) (n int, err error) {
	ids, err := b.List(ctx)
	if err != nil {
		return 0, err
	}
	whole := map[string]bool{}
	for _, id := range ids {
		whole[id] = true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix, Recursive: true}) {
		if o.Err != nil {
			return n, said("look for what is left of backups", "", o.Err)
		}
		id, file, _ := strings.Cut(strings.TrimPrefix(o.Key, b.prefix), "/")
		if file != objectName || !IsID(id) || whole[id] || now.Sub(o.LastModified) < leftoverAge {
			continue
		}
		if err := b.client.RemoveObject(ctx, b.name, o.Key, minio.RemoveObjectOptions{}); err != nil {
			return n, said("remove what is left of a backup", "", err)
		}
		n++
	}
	for u := range b.client.ListIncompleteUploads(ctx, b.name, b.prefix, true) {
		if u.Err != nil {
			return n, said("look for uploads that did not end", "", u.Err)
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(u.Key, b.prefix), "/")
		if !IsID(id) || now.Sub(u.Initiated) < leftoverAge {
			continue
		}
		if err := b.client.RemoveIncompleteUpload(ctx, b.name, u.Key); err != nil {
			return n, said("remove an upload that did not end", "", err)
		}
		n++
	}
	return n, nil
}
