package fetch

import (
	"testing"
	"time"
)

// A DHT that answers in a millisecond is not given fifteen.
func TestHeadStart(t *testing.T) {
	t.Parallel()
	const most = 15 * time.Millisecond
	var l lookups
	if got := l.headStart(most); got != most {
		t.Errorf("before any answer %v, want %v", got, most)
	}
	for range 50 {
		l.took(time.Millisecond)
	}
	if got := l.headStart(most); got != minHeadStart {
		t.Errorf("after answers in 1 ms %v, want the least one", got)
	}
	for range 50 {
		l.took(4 * time.Millisecond)
	}
	if got := l.headStart(most); got < 7*time.Millisecond || got > 9*time.Millisecond {
		t.Errorf("after answers in 4 ms %v, want about 8 ms", got)
	}
	for range 50 {
		l.took(time.Second)
	}
	if got := l.headStart(most); got != most {
		t.Errorf("after answers in 1 s %v, want %v", got, most)
	}
}
