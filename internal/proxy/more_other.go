//go:build !linux

package proxy

import (
	"errors"
	"syscall"
)

// writeMore is Linux's alone.
func writeMore(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
