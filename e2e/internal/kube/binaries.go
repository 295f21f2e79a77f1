package kube

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"millpond/e2e/internal/system"
)

// Binaries are the programs built from Go modules.
type Binaries struct {
	Kubernetes, CoreDNS, Helm string
}

// build builds what the cache does not have yet. Kubernetes takes about eight
// minutes on two cores, the others one each.
func build(ctx context.Context, log func(format string, args ...any)) (Binaries, error) {
	var b Binaries
	// client-go and the tools print these; Helm holds them against a chart's
	// kubeVersion.
	stamp := "-X k8s.io/component-base/version.gitVersion=" + version + " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=33"
	for _, p := range []struct {
		to                       *string
		module, program, ldflags string
	}{
		{&b.Kubernetes, "cluster/kubernetes", ".", stamp},
		{&b.CoreDNS, "cluster/coredns", ".", ""},
		{&b.Helm, "chart", "helm.sh/helm/v4/cmd/helm", ""},
	} {
		file, err := buildOne(ctx, p.module, p.program, p.ldflags, log)
		if err != nil {
			return b, err
		}
		*p.to = file
	}
	return b, nil
}

// buildOne builds a program of a module below e2e, and returns the file.
func buildOne(ctx context.Context, module, program, ldflags string, log func(format string, args ...any)) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "..", "..", module)
	key, err := cacheKey(ctx, dir, ldflags)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	name := filepath.Join(cache, filepath.Base(module)+"-")
	file := name + key
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	log("building %s of %s", program, module)
	started := time.Now()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w "+ldflags, "-o", name+"new", program)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := system.Finish(cmd); err != nil {
		return "", fmt.Errorf("building %s in %s: %w", program, dir, err)
	}
	log("built %s of %s in %v", program, module, time.Since(started).Round(time.Second))
	// One of each is kept: they have up to 150 MB.
	older, err := filepath.Glob(name + "????????????????")
	if err != nil {
		return "", err
	}
	for _, o := range older {
		if err := os.Remove(o); err != nil {
			return "", err
		}
	}
	return file, os.Rename(name+"new", file)
}

// cacheDir is where built programs are kept: delete it for a cold start.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep built programs: %w", err)
	}
	dir := filepath.Join(cache, "millpond", "cluster")
	return dir, os.MkdirAll(dir, 0o755)
}

// cacheKey stands for all that a module's programs are made of.
func cacheKey(ctx context.Context, dir, ldflags string) (string, error) {
	h := sha256.New()
	version, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	fmt.Fprintf(h, "%s%s", version, ldflags)
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		fmt.Fprintf(h, "%s %d %s", name, len(b), b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}
