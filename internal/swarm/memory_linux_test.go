package swarm

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/kv"
	"millpond/internal/peer"
)

func init() {
	roles["full"] = fullBox
	roles["others"] = otherBoxes
}

const (
	fullBlobs = 200_000
	// fullEvery stands for reprovideEvery, so that a benchmark sees rounds.
	fullEvery = time.Minute
	// othersVariable is the number of other boxes.
	othersVariable = "MILLPOND_SWARM_TEST_OTHERS"
	dirVariable    = "MILLPOND_SWARM_TEST_DIR"
)

// BenchmarkMemory measures a box of 200,000 blobs, as a process of its own
// beside others that have as many: how long it takes to announce all, what
// memory it then has, and what its upkeep costs on the wire in each direction,
// TCP and Ethernet included: what it sends in a round of reproviding in a large
// swarm, spread over reprovideEvery, and what flows between rounds.
func BenchmarkMemory(b *testing.B) {
	for _, others := range []int{1, 7} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			for b.Loop() {
				for line := range strings.Lines(play(b, "full", othersVariable+"="+strconv.Itoa(others), dirVariable+"="+b.TempDir())) {
					var value float64
					var unit string
					if _, err := fmt.Sscan(line, &value, &unit); err != nil {
						b.Logf("%s", line)
						continue
					}
					b.ReportMetric(value, unit)
				}
			}
		})
	}
}

// fullShelf lists blobs that it does not have.
type fullShelf struct {
	*shelf
	box    int
	listed *atomic.Bool // may be listed now
}

func (s fullShelf) Watch(ctx context.Context, _ peer.Kind) iter.Seq[peer.Event] {
	return func(yield func(peer.Event) bool) {
		for !s.listed.Load() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if !yield(peer.Event{Reset: true}) {
			return
		}
		for i := range fullBlobs {
			if ctx.Err() != nil || !yield(peer.Event{Digest: nth(s.box, i), Size: 1, Held: true}) {
				return
			}
		}
		if yield(peer.Event{Synced: true}) {
			<-ctx.Done()
		}
	}
}

// startFull runs box number n, with its records in Badger.
func startFull(n int, listed *atomic.Bool, change func(*settings)) (*box, error) {
	dir, err := os.MkdirTemp(os.Getenv(dirVariable), "box")
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := kv.Open(dir, log)
	if err != nil {
		return nil, err
	}
	b, err := openBox(dir, func(o *settings) {
		o.Datastore, o.Log = db.Datastore("swarm"), log
		o.Inventory = fullShelf{newShelf(), n, listed}
		change(o)
	})
	if err != nil {
		return nil, err
	}
	b.announcer.every = fullEvery
	go func() { _ = b.serve(context.Background()) }() // until the process ends
	go db.Run(context.Background())
	return b, nil
}

// announced reports whether b has announced everything.
func announced(b *box) bool {
	done, all, _ := b.announcer.progress()
	return done == fullBlobs && all == fullBlobs
}

// waitLong is wait for what takes minutes.
func waitLong(what string, ok func() bool) error {
	for deadline := time.Now().Add(20 * time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited too long for: %s", what)
		}
	}
	return nil
}

func fullBox() error {
	others, err := strconv.Atoi(os.Getenv(othersVariable))
	if err != nil {
		return err
	}
	far, orders, answers, err := cable("others")
	if err != nil {
		return err
	}
	contact, err := answers.ReadString('\n')
	if err != nil {
		return err
	}
	peak := &atomic.Int64{}
	go func() {
		for {
			anonymous, _, err := memory()
			if err == nil && anonymous > peak.Load() {
				peak.Store(anonymous)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	listed := &atomic.Bool{}
	b, err := startFull(0, listed, func(o *settings) {
		o.Listen = []string{"/ip4/10.77.0.1/tcp/0"}
		o.Bootstrap = []string{strings.TrimSpace(contact)}
	})
	if err != nil {
		return err
	}
	if err := wait("the others", func() bool { return b.boxes.count() == others }); err != nil {
		return err
	}
	begun := time.Now()
	listed.Store(true)
	if err := waitLong("all is announced", func() bool { return announced(b) }); err != nil {
		return err
	}
	fmt.Println(time.Since(begun).Seconds(), "s/announced")
	if err := waitLong("the others announced too", func() bool {
		for _, id := range b.boxes.ids() {
			if b.inventories.held(id) != fullBlobs {
				return false
			}
		}
		return b.records.count(context.Background()) == nil && b.records.n.Load() >= int64(min(others+1, replication)*fullBlobs)*9/10
	}); err != nil {
		return err
	}
	fmt.Println(time.Since(begun).Seconds(), "s/exchanged")
	if err := reportMemory("announced"); err != nil {
		return err
	}
	if others == 1 {
		if err := reportUpkeep(b); err != nil {
			return err
		}
	}
	if err := b.records.count(context.Background()); err != nil {
		return err
	}
	fmt.Println(b.records.n.Load(), "records")
	if err := reportMemory("later"); err != nil {
		return err
	}
	fmt.Printf("%.0f MB-anonymous-peak\n", float64(peak.Load())/1e6)
	orders.Close()
	return far.Wait()
}

// memory returns the process's memory in bytes: what it has allocated, and the
// same plus the resident part of its mapped files, which the kernel may reclaim.
func memory() (anonymous, resident int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		var name string
		var kB int64
		if n, _ := fmt.Sscan(line, &name, &kB); n < 2 {
			continue
		}
		switch name {
		case "VmRSS:":
			resident = kB << 10
		case "RssAnon:":
			anonymous = kB << 10
		}
	}
	return anonymous, resident, nil
}

func reportMemory(when string) error {
	anonymous, resident, err := memory()
	fmt.Printf("%.0f MB-anonymous-%s\n%.0f MB-resident-%s\n", float64(anonymous)/1e6, when, float64(resident)/1e6, when)
	return err
}

// reportUpkeep watches the cable between two boxes for two rounds, in which each
// sends the other all of its records. Idle is the quietest step. In a larger
// swarm each record goes to as many boxes as replication says.
func reportUpkeep(b *box) error {
	const step = 5 * time.Second
	const rounds = 2
	begun, err := onInterface("near")
	if err != nil {
		return err
	}
	sent := recordsSent(b)
	before, idle := begun, begun
	tick := time.NewTicker(step)
	defer tick.Stop()
	for range int(rounds * fullEvery / step) {
		<-tick.C
		now, err := onInterface("near")
		if err != nil {
			return err
		}
		idle, before = min(idle, now-before), now
	}
	sent = recordsSent(b) - sent
	if sent < fullBlobs {
		return fmt.Errorf("only %d records were sent again in %s", sent, rounds*fullEvery)
	}
	idle /= 2 * step.Seconds()
	record := ((before-begun)/2 - idle*rounds*fullEvery.Seconds()) / float64(sent)
	fmt.Printf("%d records-sent\n%.0f B/s-idle\n%.0f B/record\n%.0f B/s-upkeep\n", sent, idle, record,
		idle+record*replication*fullBlobs/reprovideEvery.Seconds())
	return nil
}

// recordsSent is how many b sent so far.
func recordsSent(b *box) int64 {
	b.announcer.mu.Lock()
	defer b.announcer.mu.Unlock()
	return b.announcer.sent
}

func otherBoxes() error {
	orders, err := plug()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(os.Getenv(othersVariable))
	if err != nil {
		return err
	}
	listed := &atomic.Bool{}
	listed.Store(true)
	var first string
	for i := range n {
		b, err := startFull(i+1, listed, func(o *settings) {
			o.Listen = []string{"/ip4/10.77.0.2/tcp/0"}
			if first != "" {
				o.Bootstrap = []string{first}
			}
		})
		if err != nil {
			return err
		}
		if first == "" {
			first = b.dialled()
		}
	}
	fmt.Println(first)
	_, err = io.Copy(io.Discard, orders)
	return err
}
