// Package container holds the tests of the box as a container: the image, what
// is written of it in the README and the compose files, with the real apt of a
// Debian container as client. They run on an engine of their own, see package
// engine.
package container

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"millpond/e2e/internal/engine"
)

// root is the checkout, seen from this package's directory.
const root = "../.."

const image, version = "millpond", "1.2.3-test"

// What labels of the image say.
const revision, created = "0123456789abcdef0123456789abcdef01234567", "2026-01-31T12:00:00Z"

// docker is the engine that all tests share.
var docker *engine.Engine

func TestMain(m *testing.M) { os.Exit(run(m)) }

// stamps are what each build of the image is told, since compose builds it again.
var stamps = []string{"VERSION=" + version, "REVISION=" + revision, "CREATED=" + created}

func run(m *testing.M) int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	begun := time.Now()
	var err error
	if docker, err = engine.Start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := 1
	fmt.Printf("engine with base images: %.1f s\n", time.Since(begun).Seconds())
	begun = time.Now()
	if err = docker.Build(ctx, root, image, "--build-arg", stamps[0], "--build-arg", stamps[1], "--build-arg", stamps[2]); err == nil {
		fmt.Printf("docker build: %.1f s\n", time.Since(begun).Seconds())
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err := docker.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the engine:", err)
		code = 1
	}
	return code
}
