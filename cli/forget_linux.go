package cli

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStart unmaps what of the program's own file has been read while it
// started: the initialisation of some hundred packages, and beside each page of
// it the fifteen around. What serving needs of it comes back by itself, out of the
// system's cache. Nothing that was written is touched.
func forgetStart() {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	all, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	var from, to uint64
	for line := range strings.Lines(string(all)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 1 && len(fields[1]) == 4 && !strings.HasSuffix(fields[0], ":"): // FROM-TO r-xp … PATH
			begins, ends, _ := strings.Cut(fields[0], "-")
			from, _ = strconv.ParseUint(begins, 16, 64)
			to, _ = strconv.ParseUint(ends, 16, 64)
			if fields[1][1] == 'w' || fields[len(fields)-1] != own {
				from, to = 0, 0
			}
		case fields[0] == "Anonymous:" && fields[1] == "0" && to > from:
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
		}
	}
}
