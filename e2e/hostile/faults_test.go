package hostile

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"millpond/e2e/internal/dishonest"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

// twenty is a site without dishonest boxes, whose clients install the same packages at
// once.
var twenty = plan{honest: 20, as: local, files: slices.Concat(times(10, small), times(2, medium), times(20, small)), wave: true}

// quiet returns a scenario without dishonest boxes.
func (r *rig) quiet(p plan) func(*testing.T) {
	return func(t *testing.T) {
		f := r.baseline(t, p).without
		r.note(t, p, f, nil)
		judgeCopies(t, f)
	}
}

// overloaded is p on a machine that has too much to do.
func overloaded(p plan) plan {
	p.load = true
	return p
}

// burn keeps the processor busy until the end of the test, twice over.
func burn(t *testing.T) {
	t.Helper()
	for range 2 * runtime.NumCPU() {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // reports the kill
		})
	}
}

// room has a room of boxes whose clients get a very large file at once. One box
// refuses connections, as behind a firewall; another one is cut off for a moment.
func (r *rig) room(t *testing.T) {
	const boxes, moment = 8, 2 * time.Second
	p := plan{honest: boxes, as: local, files: []int{large, medium}}
	b := &baseline{archive: newArchive(t, p.files)}
	b.alone = mirrorAlone(t, b.archive)
	s := newSite(t, b.archive)
	s.add(boxes - 1)
	behind := s.network.Host()
	behind.Firewall()
	s.addOn(behind)
	s.join(local, nil)
	s.update()
	f := s.measure(r.late, b, func(tl *tally) {
		cut := make(chan error)
		go func() {
			err := poll.Until(t.Context(), time.Minute, "the box has some of the file", poll.That(func() bool {
				sum := s.boxes[1].Summary()
				return sum.PeerBytesIn+sum.MirrorBytes > large/10
			}))
			if err == nil {
				s.hosts[1].Cut()
				time.Sleep(moment) // the fault itself
				s.hosts[1].Heal()
			}
			cut <- err
		}()
		s.together(tl, s.takers(0, 0), 0)
		if err := <-cut; err != nil {
			t.Error(err)
		}
		s.together(tl, s.takers(1, 0), 1)
	})
	r.note(t, p, f, nil)
	judgeCopies(t, f)
	judgeTime(t, f, 2*moment) // TCP waits as long again before it sends the next packet
}

// apt has real apt clients, which do not retry, beside dishonest boxes.
func (r *rig) apt(t *testing.T) {
	a := newArchive(t, slices.Concat(times(2, medium), times(4, small)))
	s := newSite(t, a)
	s.add(4)
	s.join(local, []dishonest.Kind{dishonest.Wrong, dishonest.Staller, dishonest.Squatter})
	args := []string{"install", "--download-only", "-o", "Acquire::Retries=0"}
	for i := range a.files {
		args = append(args, fmt.Sprintf("pkg%02d", i))
	}
	for i, b := range s.boxes {
		c := aptest.NewClient(t)
		c.Trust(a.key)
		c.Proxy(b.URL)
		c.Sources("deb " + s.mirror.base + "/debian stable main")
		c.MustApt("update", "--error-on=any", "-o", "Acquire::Retries=0")
		begun := time.Now()
		if out, err := c.Apt(t.Context(), args...); err != nil {
			t.Errorf("box %d: %v\n%s", i, err, out)
		}
		t.Logf("box %d: %.2f s", i, time.Since(begun).Seconds())
	}
}

// crowd has 256 identities at one address connect with every box. A new box, which
// knows one of those, finds an honest neighbour and is served.
func (r *rig) crowd(t *testing.T) {
	const identities, soon = 256, 5 * time.Second
	for _, as := range []kind{stranger, local} {
		t.Run(string(as), func(t *testing.T) {
			a := newArchive(t, times(2, medium))
			s := newSite(t, a)
			s.add(4, settings(as)...)
			s.join(as, nil)
			s.update()
			crowd := dishonest.Start(t, s.network.HostAt(130), dishonest.Config{Kind: dishonest.Empty, Identities: identities, Bootstrap: s.identify()})
			for i, b := range s.boxes {
				poll.Must(t, time.Minute, fmt.Sprintf("the crowd is at box %d", i), func() error {
					n := 0
					for _, p := range b.Peers() {
						if crowd.IDs[p.ID] {
							n++
						}
					}
					if n < identities/16 { // a box takes so many newcomers
						return fmt.Errorf("%d are", n)
					}
					return nil
				})
			}
			honest := slices.Clone(s.ids)
			begun := time.Now()
			s.add(1, append(settings(as), "MILLPOND_BOOTSTRAP="+s.boxes[0].URL)...)
			newcomer := s.boxes[len(s.boxes)-1]
			poll.Must(t, time.Minute, "the new box has an honest neighbour", poll.That(func() bool {
				for _, p := range newcomer.Peers() {
					if slices.Contains(honest, p.ID) {
						return true
					}
				}
				return false
			}))
			if took := time.Since(begun); took > soon {
				t.Errorf("a new box had an honest neighbour after %.2f s", took.Seconds())
			} else {
				t.Logf("a new box had an honest neighbour %.2f s after its start", took.Seconds())
			}
			s.update()
			tl := &tally{late: r.late}
			s.together(tl, s.takers(0, 0), 0)
			s.together(tl, s.takers(1, 0), 1)
			if tl.failed+tl.wrong > 0 {
				t.Error(tl.notes)
			}
			t.Logf("the slowest download took %.2f s", tl.slowest.Seconds())
		})
	}
}
