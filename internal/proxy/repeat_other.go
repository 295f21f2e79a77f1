//go:build !linux

package proxy

import (
	"errors"
	"os"
)

// again refuses: without Linux's sendfile nothing is repeated.
func again(*os.File) (*os.File, int, error) { return nil, 0, errors.ErrUnsupported }

// sendsFiles says that kernel does not.
const sendsFiles = false

// kernel is not used.
type kernel struct {
	head   []byte
	body   int
	off    int64
	err    error
	begun  func()
	passed func(n int64)
	wait   func()
}

func (*kernel) intact(*repeat) bool { return false }

func (*kernel) next(uintptr, int, int64) bool { return true }
