//go:build !linux

package front

import "syscall"

// limitUnsent does nothing: it is Linux that takes so much.
func limitUnsent(syscall.RawConn) {}
