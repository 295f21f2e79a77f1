package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Files that wait for the disk hold up nothing else: others are opened, described,
// removed, and begun; but no more than maxSyncing.
func TestFilesWaitForTheDisk(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<20)
	held, old := b.put(1000, 1000), b.put(1001, 1000)
	slow, done := make(chan struct{}, 2*maxSyncing), make(chan struct{})
	b.fault = func(op string) error {
		if op == "sync" {
			slow <- struct{}{}
			<-done
		}
		return nil
	}
	var waiting sync.WaitGroup
	for i := range maxSyncing {
		waiting.Go(func() {
			if _, err := b.putFor("", i, 1000); err != nil {
				t.Error(err)
			}
		})
		<-slow
		if i != maxSyncing/2 {
			continue
		}
		blob, err := b.Open(held)
		if err != nil {
			t.Fatal(err)
		}
		blob.Close()
		_, err = b.Stat(held)
		if err = errors.Join(err, b.Remove(old), b.Flush(), b.Err()); err != nil {
			t.Error(err)
		}
		b.relieve()
	}
	if _, err := b.putFor("", maxSyncing, 1000); !errors.Is(err, ErrDisk) {
		t.Errorf("one more than may wait: %v", err)
	}
	if err := b.Err(); !errors.Is(err, ErrDisk) {
		t.Errorf("Err: %v", err)
	}
	close(done)
	waiting.Wait()
	if _, err := b.putFor("", maxSyncing, 1000); err != nil || b.Err() != nil {
		t.Errorf("when none waits: %v, %v", err, b.Err())
	}
}

// A disk that takes no file for long is stuck.
func TestStuckDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Store{syncing: make(map[*Partial]time.Time)}
		p := new(Partial)
		s.beginSync(p)
		for _, want := range []string{"<nil>", fmt.Sprintf("%v: it has not taken a file for 10s", ErrDisk)} {
			if err := s.stuck(); fmt.Sprint(err) != want {
				t.Errorf("after %v: %v", time.Since(s.syncing[p]), err)
			}
			time.Sleep(stuckAfter)
		}
		s.endSync(p)
		if err := s.stuck(); err != nil {
			t.Error(err)
		}
	})
}
