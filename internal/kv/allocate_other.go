//go:build !linux

package kv

import "os"

// allocate reserves nothing: only Linux's fallocate is used.
func allocate(*os.File, int64) error { return nil }

func reserve(*os.File, int64) error { return nil }
