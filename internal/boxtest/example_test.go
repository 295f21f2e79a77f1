package boxtest_test

import (
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
)

func Example() {
	var t *testing.T // that of the test

	a := boxtest.NewArchive(t, aptest.MirrorOptions{})
	a.AddPackage("hello", 20<<10)
	a.Release(time.Now())
	b := boxtest.New(t, boxtest.Options{Keys: a.Keys})
	if b.Store.Usage().Blobs != 0 {
		t.Error("a new box holds something")
	}
}
