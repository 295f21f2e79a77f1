package broadcast_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"millpond/internal/broadcast"
)

func TestSignalWakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s broadcast.Signal
		var woken sync.WaitGroup
		s.Fire() // nobody waits: lost
		for range 3 {
			ch := s.Wait()
			woken.Go(func() { <-ch })
		}
		synctest.Wait()
		s.Fire()
		woken.Wait()
		select {
		case <-s.Wait():
			t.Error("a waiter that came after Fire was woken by it")
		default:
		}
	})
}

func TestWakeCountsOnce(t *testing.T) {
	w := broadcast.NewWake()
	w.Call()
	w.Call()
	<-w
	select {
	case <-w:
		t.Error("two calls before the receive woke twice")
	default:
	}
	w.Call()
	<-w
}
