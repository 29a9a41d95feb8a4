package lodge_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// room says what the Go files below a folder may import of lodge, and why.
type room struct {
	dir   string
	allow []string // other rooms; "" is none
	ban   []string // libraries that do not belong there
	why   string
}

// The rooms of the house. A folder takes the longest entry that fits it; every
// Go folder needs one. Tests may import more: they put real parts together.
var rooms = []room{
	{"cloud", nil, []string{"github.com/", "golang.org/", "libvirt.org/", "database/sql", "net/http", "os"},
		"the vocabulary is pure: standard library only, no I/O, no clock"},
	{"virt", []string{"cloud"}, []string{"database/sql", "net/http"},
		"the link to libvirt is shared by the hands and knows no noun of its own"},
	{"hypervisor", []string{"cloud", "virt"}, []string{"database/sql", "net/http"},
		"a hand knows its host: no tenants, no database, no other hand"},
	{"hypervisor/sim", []string{"cloud"}, []string{"libvirt.org/", "database/sql", "net/http"},
		"the pretend host must not lean on the real one"},
	{"storage", []string{"cloud", "virt"}, []string{"database/sql", "net/http"},
		"a hand keeps bytes and knows no rows"},
	{"network", []string{"cloud", "virt"}, []string{"database/sql", "net/http"},
		"a hand knows its host: no tenants, no database, no other hand"},
	{"fetch", []string{"cloud"}, []string{"database/sql", "libvirt.org/"},
		"the one place that calls out on a tenant's word, kept apart so that it can be read whole"},
	{"export", []string{"cloud"}, []string{"database/sql", "libvirt.org/", "github.com/"},
		"the way to the receiver that the operator names: it sends what others made"},
	{"reconcile", []string{"cloud"}, []string{"database/sql", "net/http", "libvirt.org/", "encoding/xml"},
		"the heart speaks neither SQL, XML nor HTTP"},
	{"reconcile/failpoint", []string{"cloud", "reconcile"}, []string{"database/sql", "net/http", "libvirt.org/", "os"},
		"places to die at, for tests: it only calls on"},
	{"meter", []string{"cloud"}, []string{"database/sql", "net/http", "libvirt.org/", "os"},
		"usage is arithmetic: it asks nobody"},
	{"timetable", []string{"cloud"}, []string{"database/sql", "net/http", "libvirt.org/", "os"},
		"the only room that knows cron and time zones; it asks nobody what they say"},
	{"notify", []string{"cloud"}, []string{"database/sql", "net/http", "libvirt.org/"},
		"it says what is sent when; rows are the store's and connections are fetch's"},
	{"store", []string{"cloud"}, []string{"net/http", "libvirt.org/"},
		"rows never call a host"},
	{"store/storetest", []string{"store"}, []string{"net/http", "libvirt.org/"},
		"databases for the tests of other rooms; nothing that ships imports it"},
	{"backup", []string{"cloud"}, []string{"database/sql", "libvirt.org/", "github.com/mattn/", "net/http"},
		"it keeps archives and judges none: who copies a database and who reads one comes in"},
	{"auth", []string{"cloud"}, []string{"database/sql", "libvirt.org/", "github.com/gorilla/", "github.com/mattn/"},
		"credentials become identities here and nowhere else; it knows no routes and no rows"},
	{"cert", []string{"cloud"}, []string{"database/sql", "libvirt.org/"},
		"certificates of the address that tenants call"},
	{"cert/pin", nil, []string{"github.com/", "libvirt.org/", "database/sql"},
		"the client's half: what the command line needs to trust a server, and nothing else"},
	{"metrics", []string{"cloud"}, []string{"database/sql", "libvirt.org/"},
		"the only room that knows Prometheus; the others say what they do through cloud.Observe"},
	{"traces", []string{"cloud"}, []string{"database/sql", "libvirt.org/"},
		"the only room that knows OpenTelemetry; the others say what they do through cloud.Observe"},
	{"api/reference", nil, []string{"database/sql", "libvirt.org/", "net/http"},
		"a page is made from the OpenAPI file alone"},
	{"api", []string{"cloud", "meter", "timetable", "notify", "api/wire", "api/reference"}, []string{"database/sql", "libvirt.org/", "github.com/mattn/"},
		"the front holds neither SQL nor libvirt"},
	{"api/wire", nil, []string{"github.com/", "libvirt.org/", "database/sql"},
		"the JSON types are shared with clients and drag nothing in"},
	{"api/client", []string{"api/wire"}, []string{"database/sql", "libvirt.org/", "github.com/gorilla/", "github.com/mattn/"},
		"a client knows the wire and nothing of the house"},
	{"cmd/lodge", []string{"api/client", "api/wire", "cert/pin"}, []string{"database/sql", "libvirt.org/", "github.com/mattn/"},
		"the command line has no privileged way in"},
	{"cmd/lodged", []string{"*"}, nil,
		"wiring: the only place that knows every room"},
	{"bench", []string{"*"}, nil,
		"benchmarks put rooms and raw calls side by side"},
	{"e2e", []string{"*"}, nil,
		"end-to-end tests drive the whole house"},
	{".", nil, nil, "the root holds this test only"},
}

func TestNoRoomImportsWhatItMustNot(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		checkFile(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	dir := filepath.ToSlash(filepath.Dir(path))
	r, ok := roomOf(dir)
	if !ok {
		t.Errorf("%s: the folder is no room of the house; give it an entry in rooms_test.go with its reason", path)
		return
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, imp := range f.Imports {
		name, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		if other, ours := strings.CutPrefix(name, "lodge/"); ours {
			if !mayImport(r, dir, other) {
				t.Errorf("%s imports %s: %s", path, name, r.why)
			}
			continue
		}
		for _, b := range r.ban {
			if name == b || (strings.HasSuffix(b, "/") && strings.HasPrefix(name, b)) {
				t.Errorf("%s imports %s: %s", path, name, r.why)
			}
		}
	}
}

// roomOf finds the entry with the longest folder that holds dir.
func roomOf(dir string) (room, bool) {
	var best room
	found := false
	for _, r := range rooms {
		if (dir == r.dir || strings.HasPrefix(dir, r.dir+"/")) && len(r.dir) >= len(best.dir) {
			best, found = r, true
		}
	}
	return best, found
}

func mayImport(r room, dir, other string) bool {
	if other == dir || strings.HasPrefix(other, r.dir+"/") && r.dir != "." && !isRoom(other) {
		return true
	}
	for _, a := range r.allow {
		if a == "*" || other == a {
			return true
		}
	}
	return false
}

func isRoom(dir string) bool {
	for _, r := range rooms {
		if r.dir == dir {
			return true
		}
	}
	return false
}
