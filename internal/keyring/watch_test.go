package keyring

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a directory of keys and the Keyring that watches it.
type watched struct {
	*Keyring
	t       *testing.T
	dir     string
	log     lines
	changes atomic.Int32
}

// lines is what was logged.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// watch runs f with a watched directory in a bubble, where time passes at once.
func watch(t *testing.T, f func(*watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, dir: filepath.Join(t.TempDir(), "keys")}
		w.must(os.Mkdir(w.dir, 0o700))
		w.Keyring = mustLoad(t, filepath.Join(t.TempDir(), "none"), w.dir)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Watch(ctx, slog.New(slog.NewTextHandler(&w.log, nil)), func() { w.changes.Add(1) }) }()
		f(w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (w *watched) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) write(name string, b []byte) {
	w.t.Helper()
	w.must(os.WriteFile(filepath.Join(w.dir, name), b, 0o600))
}

// after lets so many looks pass and compares what is there then.
func (w *watched) after(looks, keys, changes int) {
	w.t.Helper()
	time.Sleep(time.Duration(looks) * lookEvery)
	synctest.Wait()
	if n := int(w.changes.Load()); w.Len() != keys || n != changes {
		w.t.Fatalf("%d keys after %d changes, want %d after %d; log:\n%s", w.Len(), n, keys, changes, w.log.String())
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, "a"), newKey(t, "b")
	sig := detachSign(t, releaseText, a, nil)
	now := time.Now()
	watch(t, func(w *watched) {
		w.now = func() time.Time { return now }
		w.after(3, 0, 0)
		w.write("a.gpg", public(t, a))
		w.after(1, 0, 0) // it may still be written
		w.after(1, 1, 1)
		if signer, err := w.Detached([]byte(releaseText), sig); err != nil || signer.Fingerprint != fingerprint(a) {
			t.Errorf("signature by the new key: %v, %v", signer, err)
		}
		w.after(5, 1, 1)
		w.write("a.gpg", public(t, a, b)) // replaced
		w.after(2, 2, 2)
		w.write("notes.txt", public(t, newKey(t, "c")))
		w.after(2, 2, 2)
		w.must(os.Remove(filepath.Join(w.dir, "a.gpg")))
		w.after(1, 2, 2)
		w.after(1, 0, 3)
		for _, part := range []string{"archive key file changed", "archive keys changed", "a.gpg"} {
			if !strings.Contains(w.log.String(), part) {
				t.Errorf("the log does not say %q:\n%s", part, w.log.String())
			}
		}
	})
}

// A file in the middle of being written or replaced, a broken one and a
// directory that is away for a moment take no key away.
func TestWatchKeepsKeysThroughFaults(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, "a"), newKey(t, "b")
	watch(t, func(w *watched) {
		w.write("a.gpg", public(t, a))
		w.after(2, 1, 1)
		w.write("a.gpg", public(t, a, b)[:len(public(t, a))+10]) // the rest does not come
		w.after(20, 1, 1)
		if n := strings.Count(w.log.String(), "former keys stay"); n != 1 {
			t.Errorf("the broken file was logged %d times", n)
		}
		w.write("a.gpg", nil)
		w.after(5, 1, 1)
		w.write("a.gpg", public(t, a, b))
		w.after(2, 2, 2)

		w.must(os.Rename(w.dir, w.dir+".old"))
		w.after(1, 2, 2)
		w.must(os.Rename(w.dir+".old", w.dir))
		w.after(3, 2, 2)

		w.must(os.Rename(w.dir, w.dir+".old"))
		w.must(os.WriteFile(w.dir, nil, 0o600)) // cannot be read as a directory
		w.after(20, 2, 2)
		w.must(os.Remove(w.dir))
		w.after(2, 0, 3) // gone for good
		w.must(os.Rename(w.dir+".old", w.dir))
		w.after(2, 2, 4)
	})
}

// Kubernetes mounts ConfigMaps and Secrets as links to links, and replaces them
// all by renaming one.
func TestWatchMountedSecrets(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, "a"), newKey(t, "b")
	watch(t, func(w *watched) {
		publish := func(version string, entities ...*openpgp.Entity) {
			w.must(os.Mkdir(filepath.Join(w.dir, version), 0o700))
			w.write(version+"/key.gpg", public(t, entities...))
			w.must(os.Symlink(version, filepath.Join(w.dir, "..data_tmp")))
			w.must(os.Rename(filepath.Join(w.dir, "..data_tmp"), filepath.Join(w.dir, "..data")))
		}
		publish("..1", a)
		w.must(os.Symlink("..data/key.gpg", filepath.Join(w.dir, "key.gpg")))
		w.after(2, 1, 1)
		publish("..2", a, b)
		w.must(os.RemoveAll(filepath.Join(w.dir, "..1")))
		w.after(2, 2, 2)
		w.must(os.RemoveAll(filepath.Join(w.dir, "..2"))) // the link leads nowhere
		w.after(10, 2, 2)
		publish("..3", b)
		w.after(2, 1, 3)
	})
}

func TestWatchManyFiles(t *testing.T) {
	t.Parallel()
	block := public(t, newKey(t, "a"))
	watch(t, func(w *watched) {
		for i := range 1000 {
			w.write(fmt.Sprintf("%d.gpg", i), block)
		}
		w.after(2, 1, 1)
		if files := w.Keys()[0].Files; len(files) != 1000 {
			t.Errorf("the key is in %d files", len(files))
		}
		w.must(os.Remove(filepath.Join(w.dir, "7.gpg")))
		w.after(2, 1, 2)
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, "archive a"), newKey(t, "archive b")
	k := mustLoad(t, dirWith(t, map[string][]byte{"1.gpg": public(t, b, a), "2.gpg": public(t, a)}))
	keys := k.Keys()
	if len(keys) != 2 || keys[0].Fingerprint != fingerprint(a) || len(keys[0].Files) != 2 || len(keys[1].Files) != 1 {
		t.Fatalf("got %+v", keys)
	}
	if !strings.Contains(keys[0].Users[0], "archive a") || !keys[0].Expires.IsZero() || keys[0].Revoked {
		t.Errorf("key a: %+v", keys[0])
	}
	if !k.Has(fingerprint(b)) || k.Has(fingerprint(newKey(t, "c"))) || new(Keyring).Has(fingerprint(b)) {
		t.Error("which keys there are")
	}
}
