package compare

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memory is what a process and its children have resident, in bytes.
type memory struct{ all, anon, file int64 }

func (m memory) String() string {
	return fmt.Sprintf("%4d MB (anonymous %d, mapped files %d)", m.all>>20, m.anon>>20, m.file>>20)
}

// tree returns the process and all its descendants.
func tree(pid int) ([]int, error) {
	all := []int{pid}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if os.IsNotExist(err) {
			continue // the thread has ended
		}
		if err != nil {
			return nil, err
		}
		for _, child := range strings.Fields(string(children)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return nil, err
			}
			below, err := tree(n)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		}
	}
	return all, nil
}

// resident is the memory of the process and its descendants.
func resident(pid int) (memory, error) {
	all, err := tree(pid)
	if err != nil {
		return memory{}, err
	}
	var m memory
	for _, pid := range all {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return memory{}, err
		}
		for line := range strings.Lines(string(status)) {
			f := strings.Fields(line)
			for name, sum := range map[string]*int64{"VmRSS:": &m.all, "RssAnon:": &m.anon, "RssFile:": &m.file} {
				if f[0] != name {
					continue
				}
				kB, err := strconv.ParseInt(f[1], 10, 64)
				if err != nil {
					return memory{}, err
				}
				*sum += 1024 * kB
			}
		}
	}
	return m, nil
}

func residentTree(tb testing.TB, pid int) memory {
	tb.Helper()
	m, err := resident(pid)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// tick is the unit of times in /proc: USER_HZ, which is 100 on all machines that Go runs on.
const tick = time.Second / 100

// processorTime is what the process and its descendants have used, those included that have
// ended and been waited for.
func processorTime(pid int) (time.Duration, error) {
	all, err := tree(pid)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range all {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, can have spaces. After it: state is field 3 of
		// proc(5), utime, stime, cutime and cstime are 14 to 17.
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, ticks := range f[11:15] {
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, err
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}
