package carry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"unicode/utf8"
)

// readAtOnce is how many names of a directory are held in memory.
const readAtOnce = 256

// tree is a directory that is read, and nothing out of it.
type tree struct {
	name string // as it was given
	root *os.Root
}

func openTree(name string) (*tree, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &tree{name, root}, nil
}

// opener opens files of a tree for one goroutine, mostly several of a directory in turn:
// those of one directory are opened by one call of the system each.
type opener struct {
	*tree
	dir  string
	root *os.Root // of dir; nil before the first
}

// open is the tree's.
func (p *opener) open(rel string) (*os.File, error) {
	if dir := path.Dir(rel); p.root == nil || dir != p.dir {
		p.leave()
		root, err := p.tree.root.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		p.dir, p.root = dir, root
	}
	f, err := p.root.OpenFile(path.Base(rel), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil { // it may be a link to another directory of the tree
		return p.tree.open(rel)
	}
	return f, nil
}

// leave closes the directory.
func (p *opener) leave() {
	if p.root != nil {
		p.root.Close()
		p.root = nil
	}
}

// open opens a regular file. A pipe that took its place does not block.
func (t *tree) open(rel string) (*os.File, error) {
	return t.root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// walk calls visit for each regular file, by its path from the tree's directory, and skip
// for what is none. Of symbolic links to directories it goes into those that are a suite's
// second name.
func (t *tree) walk(ctx context.Context, visit func(rel string, i fs.FileInfo) error, skip func(Reason, string, string)) error {
	return t.walkDir(ctx, ".", 0, visit, skip)
}

func (t *tree) walkDir(ctx context.Context, dir string, depth int, visit func(string, fs.FileInfo) error, skip func(Reason, string, string)) error {
	if depth > maxDepth {
		skip(TooDeep, dir, "")
		return nil
	}
	d, err := t.open(dir)
	if err != nil {
		skip(Unreadable, dir, reasonOf(err))
		return nil
	}
	defer d.Close()
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		entries, err := d.ReadDir(readAtOnce)
		for _, e := range entries {
			if err := t.visit(ctx, path.Join(dir, e.Name()), depth, e, visit, skip); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			skip(Unreadable, dir, reasonOf(err))
			return nil
		}
	}
}

// visit looks at one entry of a directory.
func (t *tree) visit(ctx context.Context, rel string, depth int, e fs.DirEntry, visit func(string, fs.FileInfo) error, skip func(Reason, string, string)) error {
	if !utf8.ValidString(rel) {
		skip(BadName, rel, "")
		return nil
	}
	kind := e.Type()
	if kind.IsDir() {
		switch e.Name() {
		case "partial", ".temp", "_xstore": // what apt and debmirror have not got whole; apt-cacher-ng's own
			return nil
		}
		return t.walkDir(ctx, rel, depth+1, visit, skip)
	}
	var info fs.FileInfo
	var err error
	if kind&fs.ModeSymlink != 0 {
		info, err = t.root.Stat(rel)
		switch {
		case err == nil && info.IsDir() && t.isAlias(rel):
			return t.walkDir(ctx, rel, depth+1, visit, skip)
		case err != nil || info.IsDir():
			skip(LinkOut, rel, "")
			return nil
		}
	} else if info, err = e.Info(); err != nil {
		skip(Unreadable, rel, reasonOf(err))
		return nil
	}
	if !info.Mode().IsRegular() {
		skip(Special, rel, "")
		return nil
	}
	return visit(rel, info)
}

// isAlias reports whether a symbolic link is a suite's second name: stable for the
// directory bookworm beside it.
func (t *tree) isAlias(rel string) bool {
	to, err := t.root.Readlink(rel)
	to = strings.TrimSuffix(to, "/")
	return err == nil && path.Base(path.Dir(rel)) == "dists" && !strings.Contains(to, "/") && to != "." && to != ".."
}

// reasonOf is the cause of an error without the path that the report has beside it.
func reasonOf(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
