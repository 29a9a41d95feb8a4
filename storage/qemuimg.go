package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lodge/cloud"
)

// What one run of qemu-img may take. A fresh volume of 64 TiB has 1.2 MiB and is
// made in some 10 ms with 0.3 GiB of addresses, most of them never touched; what
// needs more than this is not making a volume any more.
const (
	imgAddresses = 1 << 30 // bytes of address space
	imgFileBytes = 16 << 20
	imgCPU       = 10 // seconds
	imgFiles     = 64 // open at once
	imgPatience  = 30 * time.Second
)

// words keeps the beginning of what a program says.
type words struct{ text []byte }

const mostWords = 4 << 10

func (w *words) Write(p []byte) (int, error) {
	w.text = append(w.text, p[:min(len(p), mostWords-len(w.text))]...)
	return len(p), nil
}

// qemuImg runs qemu-img with arguments of lodge's own making, under limits that the
// kernel keeps (prlimit(1)) and a deadline. It gets nothing of lodged's
// environment, none of the capabilities that the service hands down to what it
// starts, and dies with it. Returns CodeDiskFull, CodeTimeout when it was too slow,
// CodeStorage with what it said otherwise.
func qemuImg(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, imgPatience)
	defer cancel()
	limits := []string{
		"--as=" + strconv.Itoa(imgAddresses), "--fsize=" + strconv.Itoa(imgFileBytes),
		"--cpu=" + strconv.Itoa(imgCPU), "--nofile=" + strconv.Itoa(imgFiles), "--core=0",
		"--", "qemu-img",
	}
	cmd := exec.CommandContext(ctx, "prlimit", append(limits, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // prlimit becomes qemu-img
	cmd.WaitDelay = time.Second
	var said words
	cmd.Stdout, cmd.Stderr = &said, &said
	err := bare(cmd)
	if err == nil {
		return nil
	}
	cause := fmt.Errorf("qemu-img %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(said.text))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &cloud.Error{Code: cloud.CodeTimeout, Cause: cause, Message: "The host took too long to make the disk."}
	case ctx.Err() != nil:
		return ctx.Err()
	case bytes.Contains(said.text, []byte("No space left")) || bytes.Contains(said.text, []byte("Disk quota exceeded")):
		return diskFull(cause)
	}
	return &cloud.Error{Code: cloud.CodeStorage, Cause: cause, Message: "The disk could not be made on the host."}
}
