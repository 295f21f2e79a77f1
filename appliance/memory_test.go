package main

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func TestCgroupMemory(t *testing.T) {
	t.Parallel()
	const unlimited1 = "9223372036854771712\n"
	tests := []struct {
		name  string
		files map[string]string
		want  int64 // 0: none
	}{
		{"no control groups", nil, 0},
		{"version 2, in a container", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 256 << 20},
		{"version 2, without a limit", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"version 2, a service", map[string]string{
			"proc/self/cgroup":                                          "0::/system.slice/millpond.service\n",
			"sys/fs/cgroup/system.slice/memory.max":                     "max\n",
			"sys/fs/cgroup/system.slice/millpond.service/memory.max":    "1000000\n",
			"sys/fs/cgroup/system.slice/somebody-else.slice/memory.max": "1\n"}, 1000000},
		{"version 2, the slice is tighter", map[string]string{
			"proc/self/cgroup":                                       "0::/system.slice/millpond.service\n",
			"sys/fs/cgroup/system.slice/memory.max":                  "500000\n",
			"sys/fs/cgroup/system.slice/millpond.service/memory.max": "1000000\n"}, 500000},
		{"version 1, in a container that sees the host's path", map[string]string{
			"proc/self/cgroup":                           "12:cpu,cpuacct:/docker/abc\n7:memory:/docker/abc\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n"}, 256 << 20},
		{"version 1, with others in the hierarchy", map[string]string{
			"proc/self/cgroup": "7:hugetlb,memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited1}, 1000000},
		{"version 1, without a limit", map[string]string{
			"proc/self/cgroup": "7:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited1}, 0},
		{"nonsense", map[string]string{
			"proc/self/cgroup": "\nnonsense\n0::../../..\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, data := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(data)}
			}
			if got, ok := cgroupMemory(root); got != tt.want || ok != (tt.want > 0) {
				t.Errorf("got %d, %t, want %d", got, ok, tt.want)
			}
		})
	}
}

func TestUsableMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "") // restores it afterwards
	const machine = "MemTotal:       24683584 kB\nMemFree:        22469000 kB\n"
	for _, tt := range []struct {
		name, meminfo, group string
		goLimit              int64 // 0: GOMEMLIMIT is not set
		want                 int64
	}{
		{"a machine without limits", machine, "max\n", 0, 24683584 << 10},
		{"a container", machine, "268435456\n", 0, 256 << 20},
		{"a limit above what there is", "MemTotal: 1048576 kB\n", "4294967296\n", 0, 1 << 30},
		{"GOMEMLIMIT", machine, "268435456\n", 100 << 20, 100 << 20},
		{"GOMEMLIMIT is off", machine, "max\n", math.MaxInt64, 24683584 << 10},
		{"nothing is known", "", "max\n", 0, 0},
		{"nonsense", "MemTotal: -1 kB\n", "-1\n", 0, 0},
		{"not a number", "MemTotal: many kB\n", "max\n", 0, 0},
		{"more than a number can hold", "MemTotal: 9223372036854775807 kB\n", "max\n", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.Unsetenv("GOMEMLIMIT")
			if tt.goLimit > 0 {
				t.Setenv("GOMEMLIMIT", "set")
				debug.SetMemoryLimit(tt.goLimit)
			}
			got := usableMemory(fstest.MapFS{
				"proc/meminfo":             {Data: []byte(tt.meminfo)},
				"proc/self/cgroup":         {Data: []byte("0::/\n")},
				"sys/fs/cgroup/memory.max": {Data: []byte(tt.group)},
			})
			if got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// GOMEMLIMIT is the administrator's own word, whatever it is.
func TestLimitMemoryLeavesGOMEMLIMIT(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(12345 << 20)
	t.Setenv("GOMEMLIMIT", "off")
	limitMemory(slog.New(slog.DiscardHandler), fstest.MapFS{
		"proc/self/cgroup":         {Data: []byte("0::/\n")},
		"sys/fs/cgroup/memory.max": {Data: []byte("4000000000\n")},
	})
	if got := debug.SetMemoryLimit(-1); got != 12345<<20 {
		t.Errorf("the limit is %d, want it unchanged", got)
	}
}

func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "") // restores it afterwards
	os.Unsetenv("GOMEMLIMIT")
	for limit, want := range map[string]int64{"100000000": 90_000_000, "4000000000": memoryEnough, "max": memoryEnough} {
		limitMemory(slog.New(slog.DiscardHandler), fstest.MapFS{
			"proc/self/cgroup":         {Data: []byte("0::/\n")},
			"sys/fs/cgroup/memory.max": {Data: []byte(limit + "\n")},
		})
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("in a container with %s: the soft limit is %d, want %d", limit, got, want)
		}
	}
}
