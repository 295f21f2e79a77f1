//go:build !linux

package proxy

import "syscall"

// cork does nothing: only Linux has TCP_CORK.
func cork(syscall.RawConn, bool) {}
