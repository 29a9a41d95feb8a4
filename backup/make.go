package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"lodge/cloud"
)

// Facts are what a copy of the database says of itself.
type Facts struct {
	Schema    int
	Instances int
	Links     int64
	Head      [32]byte
	// At is lodge's own time when that is ahead of the Source's Now; else zero.
	At time.Time
}

// Source is what a backup is made of.
type Source struct {
	// Copy writes the database to a path as it is at one moment.
	Copy func(ctx context.Context, to string) error
	// Facts reads what such a copy says of itself.
	Facts func(ctx context.Context, path string) (Facts, error)
	// Dir is the data dir, and Files are the files and folders in it that go in too,
	// as far as they are there.
	Dir   string
	Files []string
	// Extra are more files, from anywhere.
	Extra []Input
	// Work is where the copy is put meanwhile.
	Work string

	HostID, Version string
	Scheduled       bool // retention removes it, once it is too many
	Now             func() time.Time
	// To seals the archive; nil: it is not encrypted.
	To age.Recipient
}

// Make makes a backup and returns its manifest.
func Make(ctx context.Context, p Place, s Source) (m Manifest, err error) {
	work, done, err := Scratch(s.Work)
	if err != nil {
		return m, Blame(s.Work, fmt.Errorf("make a backup: %w", err))
	}
	defer func() { err = errors.Join(err, done()) }()
	copied := filepath.Join(work, Database)
	at := s.Now()
	if err := s.Copy(ctx, copied); err != nil {
		return m, Blame(s.Work, err)
	}
	facts, err := s.Facts(ctx, copied)
	if err != nil {
		return m, Named(err, copied, "to be backed up")
	}
	if facts.At.After(at) {
		at = facts.At
	}
	m = Manifest{
		Format: format, ID: NewID(at, s.HostID, s.Scheduled), TakenAt: at.UTC(), HostID: s.HostID, Version: s.Version,
		Schema: facts.Schema, Instances: facts.Instances, Links: facts.Links, Head: hex.EncodeToString(facts.Head[:]),
	}
	inputs, err := s.inputs(copied)
	if err != nil {
		return m, err
	}
	err = p.Put(ctx, m.ID, func(w io.Writer) (Manifest, error) {
		err := pack(ctx, w, &m, inputs, s.To)
		return m, err
	})
	return m, err
}

// inputs are the database, the files of the data dir, and the extra ones.
func (s Source) inputs(copied string) ([]Input, error) {
	out := []Input{{Database, copied}}
	for _, name := range s.Files {
		err := filepath.WalkDir(filepath.Join(s.Dir, name), func(path string, d os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".part") {
				return err
			}
			rel, err := filepath.Rel(s.Dir, path)
			if err == nil {
				out = append(out, Input{filepath.ToSlash(rel), path})
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look for the files of a backup: %w", err)
		}
	}
	for _, in := range s.Extra {
		if _, err := os.Stat(in.Path); err == nil {
			out = append(out, in)
		}
	}
	slices.SortStableFunc(out[1:], func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Judge says what is wrong with a copy of the database, and what it says of
// itself. An error is one of the backup, but for Unjudged.
type Judge func(ctx context.Context, path string) (wrong []string, f Facts, err error)

// Verify reads a backup to its end and says what is wrong with it; nothing: it is
// whole. Of an encrypted one without a key it can only say whether the bytes are
// those that were kept: sealed is true then.
func Verify(ctx context.Context, p Place, m Manifest, keys []age.Identity, work string, judge Judge) (wrong []string, sealed bool, err error) {
	dir, done, err := Scratch(work)
	if err != nil {
		return nil, false, Blame(work, err)
	}
	defer func() { err = errors.Join(err, done()) }()
	wrong, err = Check(ctx, p, m, keys, dir, judge)
	if errors.Is(err, errSealed) {
		return wrong, true, nil
	}
	return wrong, false, err
}

func (m Manifest) differs(f Facts) (wrong []string) {
	if m.Schema != f.Schema {
		wrong = append(wrong, fmt.Sprintf("manifest: it says schema %d and the database has %d", m.Schema, f.Schema))
	}
	if m.Instances != f.Instances {
		wrong = append(wrong, fmt.Sprintf("manifest: it says %d instances and the database has %d", m.Instances, f.Instances))
	}
	if head := hex.EncodeToString(f.Head[:]); m.Links != f.Links || m.Head != head {
		wrong = append(wrong, fmt.Sprintf("manifest: it says that the ledger's chain ends with link %d, %s, and in the database it is %d, %s", m.Links, m.Head, f.Links, head))
	}
	return wrong
}

// Unpack puts the files of a backup into an empty folder, and says what of them is
// wrong.
func Unpack(ctx context.Context, p Place, m Manifest, keys []age.Identity, dir string) (wrong []string, err error) {
	r, err := p.Open(ctx, m)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return unpack(ctx, r, m, keys, dir)
}

// Sealed reports whether an error says that a key is needed.
func Sealed(err error) bool { return errors.Is(err, errSealed) }

// ReadRecipient reads a recipient of age, as age1...
func ReadRecipient(text string) (age.Recipient, error) {
	r, err := age.ParseX25519Recipient(text)
	if err != nil {
		return nil, cloud.Errorf(cloud.CodeInvalid, "%q is no recipient of age; `age-keygen` makes one, as age1...", text)
	}
	return r, nil
}

// ReadIdentities reads the identities of an age key file.
func ReadIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the identity: %w", err)
	}
	defer f.Close()
	keys, err := age.ParseIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("read the identity %s: %w", path, err)
	}
	return keys, nil
}
