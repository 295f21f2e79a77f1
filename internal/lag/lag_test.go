package lag

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNil(t *testing.T) {
	t.Parallel()
	var m *Meter
	if got := m.Now(); got != 0 {
		t.Errorf("a nil Meter shows %v", got)
	}
}

// TestLag measures with a clock that is exact: no lag. Then samples that are late count
// for two seconds.
func TestLag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = m.Run(ctx) }) // returns nil
		defer running.Wait()
		defer cancel()
		time.Sleep(time.Second + every/2)
		if got := m.Now(); got != 0 {
			t.Errorf("the lag of an idle machine is %v", got)
		}
		const late = 300 * time.Millisecond
		m.begin(time.Now().Add(-late))
		if got := m.Now(); got != late {
			t.Errorf("while a sample is %v late the lag is %v", late, got)
		}
		m.end(time.Now())
		m.begin(time.Now().Add(every / 2)) // when the timer of Run fires
		time.Sleep(time.Second)
		if got := m.Now(); got != late {
			t.Errorf("a second after a lag of %v it is %v", late, got)
		}
		time.Sleep(kept * every)
		if got := m.Now(); got != 0 {
			t.Errorf("three seconds after a lag it is %v", got)
		}
	})
}
