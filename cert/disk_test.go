package cert

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"lodge/cloud"
)

// finished gives what a start leaves behind in its folder.
func finished(t *testing.T, o Options) map[string][]byte {
	t.Helper()
	s := mustOpen(t, o)
	have := map[string][]byte{}
	for _, name := range []string{caKeyFile, caCertFile, serverFile} {
		b, err := os.ReadFile(filepath.Join(o.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		have[name] = b
	}
	if s.Fingerprint() == "" {
		t.Fatal("no CA")
	}
	return have
}

// put makes a folder with these files.
func put(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAStartRecoversFromAKillBetweenAnyTwoWrites(t *testing.T) {
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}}
	whole := finished(t, o)
	key, crt, server := whole[caKeyFile], whole[caCertFile], whole[serverFile]
	half := func(b []byte) []byte { return b[:len(b)/2] }
	for _, c := range []struct {
		name   string
		files  map[string][]byte
		sameCA bool
	}{
		{"an empty folder", nil, false},
		{"an empty key on its way", map[string][]byte{".ca.key.part": {}}, false},
		{"half a key on its way", map[string][]byte{".ca.key.part": half(key)}, false},
		{"a key on its way", map[string][]byte{".ca.key.part": key}, false},
		{"the CA's key without its certificate", map[string][]byte{caKeyFile: key}, false},
		{"half the CA's certificate on its way", map[string][]byte{caKeyFile: key, ".ca.crt.part": half(crt)}, false},
		{"the CA's certificate on its way", map[string][]byte{caKeyFile: key, ".ca.crt.part": crt}, false},
		{"a CA without a server's certificate", map[string][]byte{caKeyFile: key, caCertFile: crt}, true},
		{"half a server's certificate on its way", map[string][]byte{caKeyFile: key, caCertFile: crt, ".server.pem.part": half(server)}, true},
		{"a renewal on its way", map[string][]byte{caKeyFile: key, caCertFile: crt, serverFile: server, ".server.pem.part": half(server)}, true},
		{"the server's certificate without its key", map[string][]byte{caKeyFile: key, caCertFile: crt, serverFile: half(server)}, true},
		{"the server's key without its certificate", map[string][]byte{caKeyFile: key, caCertFile: crt, serverFile: server[bytes.Index(server, []byte("-----BEGIN PRIVATE")):]}, true},
		{"an empty server's certificate", map[string][]byte{caKeyFile: key, caCertFile: crt, serverFile: {}}, true},
		{"all", whole, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := o
			o.Dir = put(t, c.files)
			s := mustOpen(t, o)
			mustMeet(t, serve(t, s), pinned(t, s, nil))
			if ca, _ := s.CA(); bytes.Equal(ca, crt) != c.sameCA {
				t.Errorf("the CA is the same: %v", !c.sameCA)
			}
			if left, _ := filepath.Glob(filepath.Join(o.Dir, ".*.part")); left != nil {
				t.Errorf("left behind: %v", left)
			}
			if again := mustOpen(t, o); again.Fingerprint() != s.Fingerprint() || !again.present.Load().Leaf.Equal(s.present.Load().Leaf) {
				t.Error("the next start made something anew")
			}
		})
	}
}

func TestAClientThatPinnedBeforeACertificateOfTheSameKeyStillConnects(t *testing.T) {
	// A backup with the key alone is enough to go on, for the name is by the key.
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}}
	first := mustOpen(t, o)
	key, err := os.ReadFile(filepath.Join(o.Dir, caKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = put(t, map[string][]byte{caKeyFile: key})
	mustMeet(t, serve(t, mustOpen(t, o)), pinned(t, first, nil))
}

func TestAnIncompleteCAIsRefusedAndLeftAlone(t *testing.T) {
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}}
	whole := finished(t, o)
	other := finished(t, Options{Dir: t.TempDir(), Hosts: o.Hosts})
	key, crt, server := whole[caKeyFile], whole[caCertFile], whole[serverFile]
	for name, files := range map[string]map[string][]byte{
		"certificate without key":             {caCertFile: crt},
		"all but the key":                     {caCertFile: crt, serverFile: server},
		"all but the certificate":             {caKeyFile: key, serverFile: server},
		"the server's alone":                  {serverFile: server},
		"an empty key":                        {caKeyFile: {}, caCertFile: crt},
		"an empty certificate":                {caKeyFile: key, caCertFile: {}},
		"another CA's key":                    {caKeyFile: other[caKeyFile], caCertFile: crt},
		"another CA's certificate":            {caKeyFile: key, caCertFile: other[caCertFile]},
		"a server's certificate for the CA's": {caKeyFile: server[bytes.Index(server, []byte("-----BEGIN PRIVATE")):], caCertFile: server},
		"the files the other way round":       {caKeyFile: crt, caCertFile: key},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Dir = put(t, files)
			_, err := Open(o)
			wantCode(t, err, cloud.CodeConflict)
			unchanged(t, o.Dir, files)
		})
	}
}

func unchanged(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(files) {
		t.Errorf("%d files where %d were, %v", len(entries), len(files), err)
	}
	for name, b := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
}

func TestNoDamageToTheCAGivesAnotherCA(t *testing.T) {
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}}
	whole := finished(t, o)
	refused := 0
	try := func(name string, b []byte) {
		t.Helper()
		path := filepath.Join(o.Dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(o)
		if err == nil {
			// A byte that says nothing, such as one after the last line.
			if ca, _ := s.CA(); !bytes.Equal(ca, whole[caCertFile]) {
				t.Fatalf("%s of %d bytes: another CA", name, len(b))
			}
			return
		}
		refused++
		wantCode(t, err, cloud.CodeConflict)
		if got, _ := os.ReadFile(path); !bytes.Equal(got, b) {
			t.Fatalf("%s was changed", name)
		}
	}
	tried := 0
	for _, name := range []string{caKeyFile, caCertFile} {
		good := whole[name]
		for i := 0; i < len(good)-1; i += 5 {
			flipped := bytes.Clone(good)
			flipped[i] ^= 4
			try(name, flipped)
			try(name, good[:i])
			tried += 2
		}
		if err := os.WriteFile(filepath.Join(o.Dir, name), good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if refused < tried*9/10 {
		t.Errorf("only %d of %d damages were noticed", refused, tried)
	}
	if mustOpen(t, o).Fingerprint() == "" {
		t.Error("no CA after the repair")
	}
}

func TestKeysAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "cert")
	log := new(logged)
	o := Options{Dir: dir, Hosts: []string{"127.0.0.1"}, Log: log.logger()}
	want := map[string]fs.FileMode{"": 0o700, caKeyFile: 0o600, serverFile: 0o600}
	check := func() {
		t.Helper()
		for name, mode := range want {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != mode {
				t.Errorf("%q: %v, %v", name, info.Mode().Perm(), err)
			}
		}
	}
	mustOpen(t, o)
	check()
	for name := range want {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, o)
	check()
	if log.count("open to others") != len(want) {
		t.Error("the operator was not told of each")
	}
}

func TestAFolderThatCannotBeIsToldOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Options{Dir: filepath.Join(file, "cert"), Hosts: []string{"a"}})
	wantCode(t, err, cloud.CodeStorage)
}
