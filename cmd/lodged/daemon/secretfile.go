package daemon

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// secretMost is how long a secret may be, in bytes.
const secretMost = 4 << 10

// ReadSecret reads the one line of a file that holds a secret. It refuses a file
// that everybody on this machine may read or write: such a secret is none, and a
// warning would be read by nobody.
func ReadSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if err := secretMode(path, info); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(file, secretMost+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" || len(b) > secretMost || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s does not hold one line with the secret", path)
	}
	return secret, nil
}

// CheckSecret says when everybody on this machine may read or write the file. Who
// uses it finds out whether it is there.
func CheckSecret(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return secretMode(path, info)
}

func secretMode(path string, info os.FileInfo) error {
	if info.Mode().Perm()&0o007 == 0 || info.IsDir() {
		return nil
	}
	return fmt.Errorf("%s holds a secret and everybody on this machine may reach it (mode %04o); run `chmod 600 %s`, and make a new secret if others have been here",
		path, info.Mode().Perm(), path)
}
