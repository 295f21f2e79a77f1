package aptest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"millpond/internal/aptest"
)

func Example() {
	var t *testing.T // that of the test

	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key) // one suite, "stable"
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0-1", Size: 4096})
	m := aptest.NewMirror(t, aptest.MirrorOptions{})
	m.Publish("/debian", a.Publish(time.Now())) // one generation

	stalled := m.Inject("*.deb", aptest.Stall(100)) // faults, by pattern
	stalled.Release()
	resp, err := http.Get(m.URL("/debian/" + deb.Path))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(m.Requests("*.deb"), m.BytesSent("*")) // what was asked and sent

	c := aptest.NewClient(t) // the real apt, with files of its own
	c.Trust(key)
	c.Sources(m.Source("/debian", "stable", "main"))
	c.MustApt("update")
}
