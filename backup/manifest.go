package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"lodge/cloud"
)

// Manifest says what a backup is. It is written last: without it there is no
// backup. It holds no secrets and is never encrypted.
type Manifest struct {
	Format    int       `json:"format"` // of the archive: 1
	ID        string    `json:"id"`
	TakenAt   time.Time `json:"taken_at"` // the moment of the database
	HostID    string    `json:"host_id"`
	Version   string    `json:"lodge_version"`
	Schema    int       `json:"schema"`
	Instances int       `json:"instances"` // that are not gone
	Links     int64     `json:"ledger_links"`
	Head      string    `json:"ledger_head"` // SHA-256 of the ledger's chain at its end, hex
	Encrypted bool      `json:"encrypted"`
	Archive   File      `json:"archive"` // the bytes that are kept
	Files     []File    `json:"files"`   // what is in them
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"` // below the data dir, with slashes
	Size   int64  `json:"size"` // in bytes
	SHA256 string `json:"sha256"`
}

const (
	format = 1
	// Database is the name of the database in an archive.
	Database = "lodge.db"

	manifestName = "manifest.json"
	plainName    = "data.tar.zst"
	sealedName   = "data.tar.zst.age"
	// maxManifest bounds what is read of one, in bytes.
	maxManifest = 1 << 20
)

// NewID names a backup so that names sort by time, tell the host, and which ones
// the schedule has made.
func NewID(at time.Time, hostID string, scheduled bool) string {
	at = at.UTC()
	id := fmt.Sprintf("%s%03dZ-%.8s", at.Format("20060102T150405"), at.Nanosecond()/1e6, hostID)
	if scheduled {
		id += bySchedule
	}
	return id
}

const bySchedule = "-scheduled"

var idForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{9}Z-[0-9a-f]{1,8}(-scheduled)?$`)

// IsID reports whether a text is the name of a backup. What is no name never
// becomes part of a path.
func IsID(s string) bool { return idForm.MatchString(s) }

func noBackup(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no backup %s; list the backups to see them.", id)
}

func archiveName(sealed bool) string {
	if sealed {
		return sealedName
	}
	return plainName
}

func (m Manifest) encode() ([]byte, error) { return json.MarshalIndent(m, "", "  ") }

// unread is an error of a manifest that is there and cannot be read, now or later.
type unread struct{ error }

func (u unread) Unwrap() error { return u.error }

func unreadable(err error) bool {
	var u unread
	return errors.As(err, &u)
}

// decode reads a manifest and refuses one that is not whole, or not of id.
func decode(b []byte, id string) (m Manifest, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return m, unread{fmt.Errorf("the manifest of backup %s: %w", id, err)}
	}
	switch {
	case m.Format != format:
		return m, unread{fmt.Errorf("the backup %s has format %d, and this lodge knows %d; use the lodge that made it", id, m.Format, format)}
	case m.ID != id || !IsID(id):
		return m, unread{fmt.Errorf("the manifest of backup %s is that of %q", id, m.ID)}
	case m.Archive.Name != archiveName(m.Encrypted) || m.Archive.SHA256 == "" || m.find(Database) == nil:
		return m, unread{fmt.Errorf("the manifest of backup %s is not whole", id)}
	}
	for _, f := range m.Files {
		if !localName(f.Name) {
			return m, unread{fmt.Errorf("the manifest of backup %s names a file %q outside of the data dir", id, f.Name)}
		}
	}
	return m, nil
}

func (m Manifest) find(name string) *File {
	for i := range m.Files {
		if m.Files[i].Name == name {
			return &m.Files[i]
		}
	}
	return nil
}

// localName reports whether a name stays below the folder it is joined to.
func localName(name string) bool {
	if name == "" || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\\x00") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}
