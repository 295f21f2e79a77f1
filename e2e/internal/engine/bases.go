package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"millpond/e2e/internal/machine"
	"millpond/e2e/internal/system"
)

const (
	// keyLabel tells from what an image was made.
	keyLabel = "millpond.engine.key"
	// certificates is the machine's bundle: registries may be reached by way of
	// a proxy that has an authority of its own.
	certificates = "/etc/ssl/certs/ca-certificates.crt"
)

// debians are the releases that there are images of, debian:…-slim.
var debians = []string{"bookworm", "trixie"}

// makeBases makes the images that the Dockerfile builds upon, from the
// machine's own mirror, Go and Node. Its settings for the mirror and the
// registries of modules and packages go into the images, and nowhere else.
func (e *Engine) makeBases(ctx context.Context) error {
	mirror, err := machine.Configured()
	if err != nil {
		return err
	}
	options, err := aptOptions(ctx)
	if err != nil {
		return err
	}
	made := make(chan error)
	for _, suite := range debians {
		mirror.Suite = suite
		args := append([]string{"--quiet", "--variant=minbase"}, options...)
		args = append(args, suite, "-", mirror.Source("deb"))
		go func() { made <- e.makeDebian(ctx, "debian:"+suite+"-slim", args) }()
	}
	var errs []error
	for range debians {
		errs = append(errs, <-made)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, derive := range []func(context.Context) error{e.makeGit, e.makeGo, e.makeNode} {
		if err := derive(ctx); err != nil {
			return err
		}
	}
	return nil
}

// makeDebian makes an image with mmdebstrap, unless it is there already.
func (e *Engine) makeDebian(ctx context.Context, tag string, args []string) error {
	key := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(args, "\n"))))
	if had, err := e.Docker(ctx, "image", "inspect", "-f", `{{index .Config.Labels "`+keyLabel+`"}}`, tag); err == nil && had == key {
		return nil
	}
	bootstrap := exec.CommandContext(ctx, "mmdebstrap", args...)
	var trouble strings.Builder
	bootstrap.Stderr = &trouble
	tar, err := bootstrap.StdoutPipe()
	if err != nil {
		return err
	}
	if err := bootstrap.Start(); err != nil {
		return fmt.Errorf("mmdebstrap (install what .ci/packages names): %w", err)
	}
	load := e.Command(ctx, client, "import", "--change", "LABEL "+keyLabel+"="+key, "--change", `CMD ["bash"]`, "-")
	load.Stdin = tar
	id, err := e.Run(load)
	if made := bootstrap.Wait(); made != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(bootstrap.Args, " "), made, system.Tail(trouble.String()))
	}
	if err != nil {
		return err
	}
	// Not before now: what mmdebstrap left unfinished is an image as well.
	_, err = e.Docker(ctx, "tag", id, tag)
	return err
}

// aptOptions returns, as mmdebstrap takes it, what the machine's apt is told
// about fetching, as far as it matters to a container: proxies and checks of
// dates.
func aptOptions(ctx context.Context) ([]string, error) {
	all, err := system.Output(ctx, "apt-config", "dump", "--no-empty", "--format", `%F "%v"%n`)
	if err != nil {
		return nil, err
	}
	var options []string
	for line := range strings.Lines(all) {
		for _, prefix := range []string{"Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-"} {
			if strings.HasPrefix(line, prefix) {
				options = append(options, "--aptopt="+strings.TrimSpace(line))
			}
		}
	}
	return options, nil
}

// makeGit makes what the images of Go and Node have in common.
func (e *Engine) makeGit(ctx context.Context) error {
	return e.Derive(ctx, "buildpack-deps:bookworm-scm", filepath.Dir(certificates), `
		FROM debian:bookworm-slim
		RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git && rm -rf /var/lib/apt/lists/*
		COPY `+filepath.Base(certificates)+" "+certificates)
}

func (e *Engine) makeGo(ctx context.Context) error {
	settings, err := system.Output(ctx, "go", "env", "GOROOT", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE")
	if err != nil {
		return err
	}
	v := strings.Split(settings, "\n")
	return e.Derive(ctx, "golang:1.26-bookworm", v[0], `
		FROM buildpack-deps:bookworm-scm
		COPY . /usr/local/go/
		ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		ENV GOPATH=/go GOTOOLCHAIN=local
		ENV `+fmt.Sprintf("GOPROXY=%q GOSUMDB=%q GONOSUMDB=%q GOPRIVATE=%q", v[1], v[2], v[3], v[4]))
}

func (e *Engine) makeNode(ctx context.Context) error {
	registry, err := system.Output(ctx, "npm", "config", "get", "registry")
	if err != nil {
		return err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return fmt.Errorf("the machine's Node: %w", err)
	}
	// node is in bin, and npm in lib/node_modules, of the same prefix.
	prefix := filepath.Dir(filepath.Dir(node))
	return e.Derive(ctx, "node:20-bookworm", prefix, `
		FROM buildpack-deps:bookworm-scm
		COPY bin/node /usr/local/bin/
		COPY lib/node_modules/npm /usr/local/lib/node_modules/npm
		RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
		ENV NODE_EXTRA_CA_CERTS=`+certificates+` NPM_CONFIG_REGISTRY=`+registry)
}

// Derive builds an image by a Dockerfile given as text, with what dir has; the
// builder's own cache knows whether anything has changed, and reads no more of
// dir than is copied. Tests make stand-ins with it for images that they cannot
// get.
func (e *Engine) Derive(ctx context.Context, tag, dir, dockerfile string) error {
	cmd := e.Command(ctx, client, "build", "-q", "-t", tag, "-f", "-", dir)
	cmd.Stdin = strings.NewReader(dockerfile)
	_, err := e.Run(cmd)
	return err
}
