// Package engine runs a Docker engine of its own for tests: Debian's dockerd on
// a data directory, a socket and a network of its own, so that it neither needs
// an engine on this machine nor disturbs one. It has base images under the tags
// that the Dockerfile names, made from the machine's package mirror, since no
// image registry is asked for anything.
//
// Published ports of containers are at [Engine.IP]; a container with the host's
// network gets the engine's, not this machine's. It needs root and the packages
// docker.io, docker-compose, mmdebstrap and iproute2, which .ci/packages
// installs. What is costly to make is kept in the user's cache directory, below
// millpond/engine: delete it for a cold start.
package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/e2e/internal/system"
)

const (
	// run is short, for the length of a socket's path is limited to 107 bytes.
	run     = "/run/millpond-engine"
	socket  = run + "/docker.sock"
	pidFile = run + "/docker.pid"
	// Debian's client has a builder in it; clients found elsewhere may need a
	// plugin for that.
	client = "/usr/bin/docker"
)

// Engine is a running Docker engine.
type Engine struct {
	// IP is where published ports are reached from this machine.
	IP string
	// Host is this machine as containers see it, for servers of a test.
	Host string

	daemon *exec.Cmd
	log    string
	lock   *os.File
}

// Start starts the engine and makes the base images that are not there yet. One
// engine runs at a time: Start waits for another process to stop its own. What
// a killed one left behind is cleared away first. Stop must be called.
func Start(ctx context.Context) (*Engine, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("where to keep images: %w", err)
	}
	dir := filepath.Join(cache, "millpond", "engine")
	for _, d := range []string{dir, run} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	e := &Engine{IP: inside, Host: outside, log: filepath.Join(dir, "dockerd.log")}
	if e.lock, err = system.Lock(filepath.Join(dir, "lock")); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return stopLeftover(ctx, dir) },
		connect,
		func() error { return e.startDaemon(ctx, dir) },
		func() error { return e.clear(ctx) },
		func() error { return e.makeBases(ctx) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, e.Stop())
		}
	}
	return e, nil
}

// Stop removes all containers, stops the engine and takes its network down.
func (e *Engine) Stop() error {
	var errs []error
	if e.daemon != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs = append(errs, e.clear(ctx), e.daemon.Process.Signal(syscall.SIGTERM), e.daemon.Wait())
	}
	return errors.Join(append(errs, disconnect(), e.lock.Close())...)
}

// Docker runs the docker client and returns what it printed on standard output,
// without the last line's end. The error has what it printed on standard error.
func (e *Engine) Docker(ctx context.Context, args ...string) (string, error) {
	return e.Run(e.Command(ctx, client, args...))
}

// Command is a command with the engine set as its environment's: client tools
// that it runs find the engine and Debian's client.
func (e *Engine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(),
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER_HOST=unix://"+socket, "DOCKER_BUILDKIT=1")
	return cmd
}

// Run runs a command of Command as Docker does.
func (e *Engine) Run(cmd *exec.Cmd) (string, error) {
	return system.Capture(cmd)
}

// Build builds the Dockerfile of a directory under a tag; options are those of
// docker build ("--build-arg", "VERSION=1").
func (e *Engine) Build(ctx context.Context, dir, tag string, options ...string) error {
	_, err := e.Docker(ctx, append(append([]string{"build", "-q", "-t", tag}, options...), dir)...)
	return err
}

// Save writes images to a file, as other container runtimes load them.
func (e *Engine) Save(ctx context.Context, file string, images ...string) error {
	_, err := e.Docker(ctx, append([]string{"save", "-o", file}, images...)...)
	return err
}

// stopLeftover stops the daemon of a process that was killed, known by its
// pid file and by the configuration on its command line.
func stopLeftover(ctx context.Context, dir string) error {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("%s: %w", pidFile, err)
	}
	runs := func() bool {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && bytes.Contains(cmdline, []byte(configFile(dir)))
	}
	if runs() {
		// Once: dockerd takes more of them for an order to leave all behind.
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return err
		}
		err := poll.Until(ctx, time.Minute, "the engine that was left behind ends", func() error {
			if runs() {
				return fmt.Errorf("process %d is there", pid)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := os.Remove(pidFile); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func configFile(dir string) string { return filepath.Join(dir, "daemon.json") }

func (e *Engine) startDaemon(ctx context.Context, dir string) error {
	config, err := json.Marshal(map[string]any{
		"hosts":                 []string{"unix://" + socket},
		"data-root":             filepath.Join(dir, "data"),
		"exec-root":             run + "/exec",
		"pidfile":               pidFile,
		"bip":                   "10.232.1.1/24",
		"default-address-pools": []map[string]any{{"base": "10.233.0.0/16", "size": 24}},
		// Two architectures' compiled packages and npm's take 3 GB.
		"builder": map[string]any{"gc": map[string]any{"enabled": true, "defaultKeepStorage": "8GB"}},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(configFile(dir), config, 0o644); err != nil {
		return err
	}
	log, err := os.Create(e.log)
	if err != nil {
		return err
	}
	defer log.Close()
	// dockerd takes a containerd that runs on the machine if it sees one there,
	// so this one is shown an empty directory.
	e.daemon = exec.Command("nsenter", "--net=/run/netns/"+name, "unshare", "--mount", "--propagation", "slave", "sh", "-euc",
		`mkdir -p /run/containerd; mount -t tmpfs none /run/containerd; exec dockerd --config-file "$0"`, configFile(dir))
	e.daemon.Stdout, e.daemon.Stderr = log, log
	if err := e.daemon.Start(); err != nil {
		e.daemon = nil
		return fmt.Errorf("starting dockerd (install what .ci/packages names): %w", err)
	}
	err = poll.Until(ctx, 30*time.Second, "dockerd answers", func() error {
		_, err := e.Docker(ctx, "version")
		return err
	})
	if err != nil {
		said, _ := os.ReadFile(e.log)
		return fmt.Errorf("%w; its log ends with\n%s", err, system.Tail(string(said)))
	}
	return nil
}

// clear removes containers, their volumes and networks, and images without a
// tag.
func (e *Engine) clear(ctx context.Context) error {
	all, err := e.Docker(ctx, "ps", "-aq")
	if err != nil {
		return err
	}
	if all != "" {
		if _, err := e.Docker(ctx, append([]string{"rm", "-fv"}, strings.Fields(all)...)...); err != nil {
			return err
		}
	}
	for _, kind := range []string{"volume", "network", "image"} {
		if _, err := e.Docker(ctx, kind, "prune", "-f"); err != nil {
			return err
		}
	}
	return nil
}
