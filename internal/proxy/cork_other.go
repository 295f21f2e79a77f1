//go:build !linux

package proxy

import "syscall"

// cork does nothing: only Linux packs what is sent at the program's word.
func cork(syscall.RawConn, bool) {}
