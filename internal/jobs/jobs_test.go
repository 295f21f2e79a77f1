package jobs

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter()
		m.Expect(Amount{Files: 100, Bytes: 100_000})
		if p := m.Progress(); p.Known || p.Rate != 0 {
			t.Errorf("nothing is done, and it says %+v", p)
		}
		for range 30 {
			time.Sleep(time.Second)
			m.Add(1, 1000)
		}
		p := m.Progress()
		if p.Done != (Amount{30, 30_000}) || p.Total != (Amount{100, 100_000}) {
			t.Errorf("amounts are %+v", p)
		}
		if p.Rate < 900 || p.Rate > 1100 {
			t.Errorf("rate is %v, want 1000", p.Rate)
		}
		if !p.Known || p.Left < 65*time.Second || p.Left > 75*time.Second {
			t.Errorf("left is %v (%v), want 70 s", p.Left, p.Known)
		}
		for range 20 { // it gets faster: what was before does not count
			time.Sleep(time.Second)
			m.Add(1, 3000)
		}
		if p := m.Progress(); p.Rate < 2700 || p.Rate > 3300 {
			t.Errorf("rate is %v, want 3000", p.Rate)
		}
		time.Sleep(time.Hour)
		if p := m.Progress(); p.Rate > 1 {
			t.Errorf("nothing happened for an hour, and the rate is %v", p.Rate)
		}
	})
}

func TestProgressOfFilesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter()
		m.Expect(Amount{Files: 10})
		time.Sleep(5 * time.Second)
		m.Set(Amount{Files: 5})
		if p := m.Progress(); !p.Known || p.Left != 5*time.Second {
			t.Errorf("left is %v (%v), want 5 s", p.Left, p.Known)
		}
	})
}

// What was done before counts as done, but not as fast.
func TestSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter()
		m.Expect(Amount{Files: 100, Bytes: 1000})
		m.Skip(50, 500)
		time.Sleep(time.Second)
		m.Add(10, 100)
		p := m.Progress()
		if p.Done != (Amount{60, 600}) || p.Rate != 100 || p.Left != 4*time.Second {
			t.Errorf("progress is %+v", p)
		}
	})
}

func TestOneOfAKind(t *testing.T) {
	t.Parallel()
	var r Running
	if all := r.All(); all == nil || len(all) != 0 {
		t.Errorf("at first there are %v", all)
	}
	m, end, err := r.Begin(Verify)
	if err != nil {
		t.Fatal(err)
	}
	m.Add(3, 4)
	if _, _, err := r.Begin(Verify); !errors.Is(err, ErrRunning) {
		t.Errorf("a second one: %v, want ErrRunning", err)
	}
	_, endOther, err := r.Begin(Backup)
	if err != nil {
		t.Fatal(err)
	}
	all := r.All()
	if len(all) != 2 || all[0].Kind != Backup || all[1].Kind != Verify || all[1].Done != (Amount{3, 4}) {
		t.Errorf("under way are %+v", all)
	}
	end()
	endOther()
	_, endAgain, err := r.Begin(Verify)
	if err != nil {
		t.Fatalf("after its end: %v", err)
	}
	end() // a second call ends nothing of others
	if len(r.All()) != 1 {
		t.Error("an end ended another one")
	}
	endAgain()
}
