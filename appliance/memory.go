package main

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare is the share of a container's memory that the Go heap may take
// before garbage is collected more often. The rest is for what Go does not
// count: kernel stacks and mapped files that are being written.
const memoryShare = 0.9

// memoryEnough is the heap size above which garbage is collected more often on
// any machine. A box with a million known files and 200,000 announced blobs
// needs half of it; the rest is garbage from learning an index or building
// tables, which Go would keep. Measured with it: 257-274 MB resident instead of
// 346 (BenchmarkMemory in internal/swarm). A box that needs more gets more.
const memoryEnough = 200 << 20

// limitMemory sets Go's soft memory limit to memoryEnough, or to the container's
// limit if that is lower, unless GOMEMLIMIT is set. Go itself respects a
// container's CPU limit but not its memory limit. root is the root directory.
func limitMemory(log *slog.Logger, root fs.FS) {
	if _, set := os.LookupEnv("GOMEMLIMIT"); set {
		return
	}
	soft := int64(memoryEnough)
	if limit, ok := cgroupMemory(root); ok {
		soft = min(soft, int64(memoryShare*float64(limit)))
	}
	debug.SetMemoryLimit(soft)
	log.Debug("soft memory limit set", "bytes", soft)
}

// usableMemory returns the memory in bytes that this process may use: the least of
// what the machine has, the limits of its control groups and GOMEMLIMIT; 0 if none is
// known. root is the root directory.
func usableMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	if n, ok := machineMemory(root); ok {
		least = n
	}
	if n, ok := cgroupMemory(root); ok {
		least = min(least, n)
	}
	if _, set := os.LookupEnv("GOMEMLIMIT"); set {
		least = min(least, debug.SetMemoryLimit(-1)) // a negative number changes nothing
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// machineMemory returns the size of the machine's memory in bytes (proc(5)).
func machineMemory(root fs.FS) (size int64, ok bool) {
	info, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(info)) {
		if total, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(total), "kB")), 10, 52)
			return kB << 10, err == nil && kB > 0
		}
	}
	return 0, false
}

// cgroupMemory returns the tightest memory limit that control groups set on
// this process, in bytes; 0 and false if there is none.
func cgroupMemory(root fs.FS) (limit int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	limit = math.MaxInt64
	for line := range strings.Lines(string(groups)) {
		// "0::/group" in version 2, "7:memory:/group" in version 1 (cgroups(7)).
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		switch {
		case fields[0] == "0" && fields[1] == "":
			limit = min(limit, tightest(root, "sys/fs/cgroup", fields[2], "memory.max"))
		case strings.Contains(","+fields[1]+",", ",memory,"):
			limit = min(limit, tightest(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	if limit >= 1<<62 { // version 1 writes the largest multiple of the page size for "none"
		return 0, false
	}
	return limit, true
}

// tightest returns the lowest limit of group and its parents, math.MaxInt64 if
// there is none. In a container the path may be the host's, of which only the
// root is visible, as the container's own group.
func tightest(root fs.FS, mount, group, name string) int64 {
	limit := int64(math.MaxInt64)
	for group = path.Join("/", group); ; group = path.Dir(group) {
		if b, err := fs.ReadFile(root, path.Join(mount, group, name)); err == nil {
			// "max" is no number.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				limit = min(limit, n)
			}
		}
		if group == "/" {
			return limit
		}
	}
}
