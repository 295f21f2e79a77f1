package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// target is a kind of machine that there is a program for.
type target struct {
	debian  string // Debian's name of the processor
	goarch  string
	variant string // as OCI names it
	environ []string
}

// targets are all. What their variables say is what every machine of the kind can run.
var targets = []target{
	{"amd64", "amd64", "", []string{"GOAMD64=v1"}},
	{"arm64", "arm64", "", []string{"GOARM64=v8.0"}},
	{"armhf", "arm", "v7", []string{"GOARM=7"}},
	{"riscv64", "riscv64", "", []string{"GORISCV64=rva20u64"}},
}

// String is the target's name in the names of programs.
func (t target) String() string { return t.goarch + t.variant }

func names(all []target) (names []string) {
	for _, t := range all {
		names = append(names, t.debian)
	}
	return names
}

// parseTargets reads processors as Debian names them.
func parseTargets(list string) (all []target, err error) {
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, t := range targets {
			if t.debian == name {
				all, found = append(all, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%q: there are programs for %s", name, strings.Join(names(targets), ", "))
		}
	}
	return all, nil
}

// program is one that was built.
type program struct {
	target
	path string
	info *buildinfo.BuildInfo
}

// build compiles the programs.
func (r *release) build() error {
	for _, t := range r.targets {
		path := filepath.Join(r.dir, "millpond_"+r.version.number+"_linux_"+t.String())
		if err := compile(r.root, path, r.version.number, t); err != nil {
			return err
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return err
		}
		r.programs = append(r.programs, program{t, path, info})
	}
	return nil
}

// compile makes a program that says it is of a version.
func compile(root, path, number string, t target) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	environ := append([]string{
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + t.goarch, "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off",
	}, t.environ...)
	if _, err := outputWith(environ, root, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", "-s -w -buildid= -X main.version="+number, "-o", abs, "./appliance"); err != nil {
		return err
	}
	return os.Chmod(path, 0o755) // whatever the umask
}

// runnable returns a program of this machine, which is built if the release has none.
func (r *release) runnable() (string, error) {
	for _, p := range r.programs {
		if p.goarch == runtime.GOARCH && runtime.GOOS == "linux" {
			return p.path, nil
		}
	}
	path := filepath.Join(r.work, "millpond")
	_, err := outputWith([]string{"CGO_ENABLED=0"}, r.root, "go", "build", "-o", path, "-ldflags", "-X main.version="+r.version.number, "./appliance")
	return path, err
}
