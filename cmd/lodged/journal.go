package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// journal reports whether what is written to out goes to systemd's journal: stream
// is what systemd says of the journal's end in JOURNAL_STREAM (systemd.exec(5)),
// device and inode. A child that was given another output has that in its
// environment too.
func journal(out *os.File, stream string) bool {
	var st unix.Stat_t
	return stream != "" && unix.Fstat(int(out.Fd()), &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
