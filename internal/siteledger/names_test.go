package siteledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"millpond/internal/peer"
)

func TestNamesSpread(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	p.exchange(t)
	give := func(x *testBox, text string) {
		t.Helper()
		if err := x.NameBox("b", text); err != nil {
			t.Fatal(err)
		}
	}
	both := func(want string) {
		t.Helper()
		p.exchange(t)
		for _, x := range p.boxes {
			if got := x.BoxName("b"); got != want {
				t.Errorf("%s: %q, want %q", x.ID, got, want)
			}
		}
	}
	give(a, " library ")
	both("library")
	give(b, "reading room")
	give(b, "reading room 2") // in the same millisecond
	both("reading room 2")
	c := p.add(t, "c", nil) // comes later, and is told by both
	both("reading room 2")
	give(c, "")
	both("")
	a.open(t, "a", nil)
	if got := a.BoxName("b"); got != "" {
		t.Errorf("after a restart: %q", got)
	}
	if n := a.rows(t)[nameRow]; n != 1 {
		t.Errorf("%d rows of names, want that of the removal", n)
	}
	a.tidy(time.Now().Add(goneFor + time.Hour))
	if n := a.rows(t)[nameRow]; n != 0 {
		t.Errorf("%d rows of names after %s", n, goneFor)
	}
	for _, text := range []string{strings.Repeat("x", maxNameLength+1), "a\tb", strings.Repeat("漢", maxNameBytes/3+1)} {
		if err := a.NameBox("a", text); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := a.NameBox("x", "library"); !errors.Is(err, ErrUnknownBox) {
		t.Errorf("a box that nobody knows: %v", err)
	}
}

// A local box says what it is called, and no more.
func TestNamesOfLocalBoxes(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	p.exchange(t)
	for id, text := range map[string]string{"a": "mine", "b": "theirs"} {
		if err := b.NameBox(id, text); err != nil {
			t.Fatal(err)
		}
	}
	p.exchange(t)
	if a.BoxName("a") != "" || a.BoxName("b") != "theirs" {
		t.Errorf("a is called %q, b %q", a.BoxName("a"), a.BoxName("b"))
	}
	if err := a.NameBox("b", "library"); err != nil || a.BoxName("b") != "library" {
		t.Errorf("the administrator here calls b %q, %v", a.BoxName("b"), err)
	}
}

// A name of a box whose clock is ahead is learned when this one's has come so far, though
// the other box has nothing new to tell by then.
func TestNamesOfAClockAhead(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	p.exchange(t)
	now := time.Now()
	b.mu.Lock()
	err := b.give(nameKey(namedBox, "b"), "library", now.Add(maxAhead+time.Minute))
	b.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	asked := func(after time.Duration) (names uint64) {
		t.Helper()
		q := a.questionFor("b", now.Add(after))
		answer, err := b.Report(t.Context(), peer.Asker{ID: "a", Kind: peer.Member}, q.encode())
		if err != nil {
			t.Fatal(err)
		}
		report, err := parseReport(answer)
		if err != nil {
			t.Fatal(err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if err := a.take(peer.Neighbour{Asker: peer.Asker{ID: "b", Kind: peer.Member}}, report, q, now.Add(after)); err != nil {
			t.Fatal(err)
		}
		return q.names
	}
	asked(0)
	if name := a.BoxName("b"); name != "" {
		t.Errorf("%q is learned while it is too far ahead", name)
	}
	if asked(30*time.Second) == 0 {
		t.Error("all names are asked for before it can be learned")
	}
	asked(2 * time.Minute)
	if name := a.BoxName("b"); name != "library" {
		t.Errorf("two minutes later b is called %q", name)
	}
	if asked(time.Hour) == 0 {
		t.Error("names that are known are asked for again")
	}
}

// A name from the far future could never be changed, and one box cannot fill the table.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a := p.add(t, "a", nil)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	learn := func(by string, from, n int, at time.Time) {
		t.Helper()
		var all []name
		for i := from; i < from+n; i++ {
			all = append(all, name{nameKey(namedBox, fmt.Sprint(i)), "x", at.UnixMilli()})
		}
		if _, err := a.learn(all, by, now); err != nil {
			t.Fatal(err)
		}
	}
	learn("b", 0, 10, now.Add(maxAhead+time.Minute))
	if len(a.names.all) != 0 {
		t.Errorf("%d names of the future", len(a.names.all))
	}
	learn("b", 0, maxNames, now)
	if len(a.names.all) != maxNamesFrom {
		t.Errorf("%d names of one box, want %d", len(a.names.all), maxNamesFrom)
	}
	learn("c", maxNames, maxNames, now)
	if len(a.names.all) != maxNamesTold {
		t.Errorf("%d names of two boxes, want %d", len(a.names.all), maxNamesTold)
	}
	given := 0
	for i := range maxNames {
		err := a.give(nameKey(namedBox, fmt.Sprint("own", i)), "y", now)
		if err == nil {
			given++
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if len(a.names.all) != maxNames || given != maxNames-maxNamesTold {
		t.Errorf("%d names, %d of them the administrator's", len(a.names.all), given)
	}
	learn("b", 0, maxNames, now.Add(time.Minute)) // newer, but not more
	if len(a.names.all) != maxNames || a.names.all["b0"].at != now.Add(time.Minute).UnixMilli() {
		t.Errorf("%d names, %+v", len(a.names.all), a.names.all["b0"])
	}
	a.warn("", a.tidyNames(now))
	if a.names.told["b"] != maxNamesFrom || a.names.told["c"] != maxNamesTold-maxNamesFrom {
		t.Errorf("%v", a.names.told)
	}
}
