package backup_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"lodge/backup"
	"lodge/cloud"
)

// s3 starts a real server of S3 on loopback: versitygw on a folder. The test needs
// its program: GOBIN=$PWD/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
func s3(t *testing.T) (url string, c *minio.Client) {
	t.Helper()
	program := os.Getenv("LODGE_S3_SERVER")
	if program == "" {
		t.Skip("LODGE_S3_SERVER names no program: the S3 server versitygw is needed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	for _, d := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const key, secret = "lodge", "not-a-secret"
	cmd := exec.Command(program, "--port", addr, "--access", key, "--secret", secret, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server said:\n%s", out.String())
		}
	})
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "none"))
	c, err = minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(key, secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = c.MakeBucket(ctx, "backups", minio.MakeBucketOptions{}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no bucket: %v\n%s", err, out.String())
		}
	}
	return "s3:http://" + addr + "/backups/rack/one", c
}

func TestABucketKeepsBackups(t *testing.T) {
	where, c := s3(t)
	contract(t, place(t, where))
	for o := range c.ListObjects(ctx, "backups", minio.ListObjectsOptions{Recursive: true}) {
		t.Logf("in the bucket: %s, %d bytes", o.Key, o.Size)
	}
	if _, err := place(t, where+"/other").List(ctx); err != nil {
		t.Errorf("an empty place: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if _, err := backup.Make(ctx, place(t, where), source(t)); err == nil {
		t.Error("made with a wrong key")
	}
}

// Nobody asks a bucket without keys: it says of that no more than "Access Denied".
func TestABucketIsNotAskedWithoutKeys(t *testing.T) {
	dir := t.TempDir()
	for _, env := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_PROFILE"} {
		t.Setenv(env, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "none"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "none"))
	file := filepath.Join(dir, "credentials")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	says := func(what, file, want string) {
		t.Helper()
		p, err := backup.OpenPlace("s3:http://127.0.0.1:1/backups", backup.Options{Credentials: file})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = p.List(ctx); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", what, err)
		}
		if _, err = backup.Make(ctx, p, source(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	says("no keys", "", "No keys of the bucket are set")
	says("a missing file", file, "The file "+file+" of --backup-s3-credentials cannot be read")
	for _, text := range []string{"", "s3cret", "[default]\n", "[default]\naws_access_key_id = lodge\n", "[other]\naws_access_key_id = lodge\naws_secret_access_key = s3cret\n"} {
		write(text)
		says(text, file, "file "+file+" of --backup-s3-credentials")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "lodge")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
	says("a file that was named comes first", file, "file "+file+" of --backup-s3-credentials")
	says("the environment", "", "connection refused")
	write("[default]\naws_access_key_id = lodge\naws_secret_access_key = s3cret\n")
	says("the file", file, "connection refused")
}

// More than one part, and a file that keys stand in.
func TestABucketTakesManyParts(t *testing.T) {
	where, _ := s3(t)
	creds := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = lodge\naws_secret_access_key = not-a-secret\n"
	if err := os.WriteFile(creds, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	p, err := backup.OpenPlace(where, backup.Options{Credentials: creds})
	if err != nil {
		t.Fatal(err)
	}
	s := source(t)
	big := filepath.Join(t.TempDir(), "big")
	b := make([]byte, 40<<20)
	_, _ = rand.Read(b) // it does not become smaller
	if err := os.WriteFile(big, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Extra = []backup.Input{{Name: "big", Path: big}}
	m, err := backup.Make(ctx, p, s)
	if err != nil {
		t.Fatal(err)
	}
	if m.Archive.Size < 40<<20 {
		t.Errorf("the archive has %d bytes", m.Archive.Size)
	}
	if wrong, _, err := backup.Verify(ctx, p, m, nil, t.TempDir(), judge); err != nil || len(wrong) > 0 {
		t.Errorf("wrong %v, %v", wrong, err)
	}
}

// What was cut off in the middle is never listed: neither parts of an archive nor
// an archive without its manifest. After a day both are swept.
func TestABucketListsNoHalfBackup(t *testing.T) {
	where, c := s3(t)
	p := place(t, where)
	id := backup.NewID(noon, hostA, true)
	err := p.Put(ctx, id, func(w io.Writer) (backup.Manifest, error) {
		_, err := w.Write(make([]byte, 40<<20))
		return backup.Manifest{}, errors.Join(err, errors.New("the database went away"))
	})
	if err == nil {
		t.Fatal("it was kept")
	}
	lost := backup.NewID(noon.Add(time.Second), hostA, true)
	if _, err := c.PutObject(ctx, "backups", "rack/one/"+lost+"/data", bytes.NewReader([]byte("x")), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	core := minio.Core{Client: c}
	half := backup.NewID(noon.Add(2*time.Second), hostA, true)
	upload, err := core.NewMultipartUpload(ctx, "backups", "rack/one/"+half+"/data", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := core.PutObjectPart(ctx, "backups", "rack/one/"+half+"/data", upload, 1, bytes.NewReader(make([]byte, 5<<20)), 5<<20, minio.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if ids, err := p.List(ctx); err != nil || len(ids) > 0 {
		t.Errorf("listed %v, %v", ids, err)
	}
	if _, err := p.Manifest(ctx, lost); cloud.CodeOf(err) != cloud.CodeNotFound {
		t.Errorf("a manifest: %v", err)
	}
	if n, err := p.Sweep(ctx, hostA, time.Now()); n != 0 || err != nil {
		t.Errorf("swept %d that may be under way, %v", n, err)
	}
	if n, err := p.Sweep(ctx, hostA, time.Now().Add(25*time.Hour)); n != 2 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	for o := range c.ListObjects(ctx, "backups", minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("left %s", o.Key)
	}
	for u := range c.ListIncompleteUploads(ctx, "backups", "", true) {
		t.Errorf("left an upload of %s", u.Key)
	}
}
