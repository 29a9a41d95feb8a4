package cert

import (
	"crypto/tls"
	"os"
	"time"
)

const filesEvery = 3 * time.Second

// files keeps a certificate that the operator gives and replaces.
type files struct {
	cert, key string
	read      [2]os.FileInfo // as the two were when they were read last
	told      string         // what is wrong with them since then
}

func newFiles(cert, key string) (*files, error) {
	if cert == "" || key == "" {
		return nil, invalid(nil, "A certificate file and a key file go together; give both or neither.")
	}
	return &files{cert: cert, key: key}, nil
}

// look reads the files when they are not as they were. Broken ones are tried
// again at every look, for whoever replaces them writes one after the other and
// may set their owner last; what is wrong is told once.
func (k *files) look(time.Time) (*tls.Certificate, error) {
	c, err := k.changed()
	if err == nil {
		k.told = ""
		return c, nil
	}
	if err.Error() == k.told {
		return nil, nil
	}
	k.told = err.Error()
	return nil, err
}

// changed gives what the files hold; nil when that is what they held before.
func (k *files) changed() (*tls.Certificate, error) {
	var now [2]os.FileInfo
	for i, path := range []string{k.cert, k.key} {
		info, err := os.Stat(path)
		if err != nil {
			return nil, invalid(err, "The certificate file %s cannot be read; see to its path and its permissions.", path)
		}
		now[i] = info
	}
	if same(k.read[0], now[0]) && same(k.read[1], now[1]) {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return nil, invalid(err, "The certificate file %s and the key file %s are not a pair in PEM; give both, with the server's certificate first.", k.cert, k.key)
	}
	// As they were before they were read: a change meanwhile is seen by the next
	// look.
	k.read = now
	return &c, nil
}

// same reports whether a file is as it was. The file behind a link counts, for
// some that renew certificates turn links.
func same(was, is os.FileInfo) bool {
	return was != nil && os.SameFile(was, is) && was.Size() == is.Size() && was.ModTime().Equal(is.ModTime())
}
