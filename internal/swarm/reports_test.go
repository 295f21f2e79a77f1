package swarm

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"millpond/internal/peer"
)

// reporter answers every question but "nonsense".
type reporter struct {
	answer []byte
	asked  atomic.Int32
	by     atomic.Value // the last peer.Asker
}

func (r *reporter) Report(_ context.Context, by peer.Asker, question []byte) ([]byte, error) {
	r.asked.Add(1)
	r.by.Store(by)
	if string(question) == "nonsense" {
		return nil, peer.ErrMalformed
	}
	return append(bytes.Clone(question), r.answer...), nil
}

// asking runs two boxes of which one asks the other, which answers from r.
func asking(t *testing.T, r peer.Reporter, kind peer.Kind) (asker, answerer *box) {
	t.Helper()
	var key []byte
	if kind == peer.Member {
		key = NewKey()
	}
	answerer = newBox(t, func(o *settings) { o.Key, o.Reporter = key, r }).run(t)
	asker = newBox(t, func(o *settings) {
		o.Key, o.Reporter, o.Bootstrap = key, new(reporter), []string{answerer.dialled()}
		if kind == peer.Stranger {
			o.AllowClients = nil
		}
	}).run(t)
	until(t, "the boxes know each other", func() bool {
		return asker.knows(answerer) && answerer.knows(asker) && (kind == peer.Stranger || len(asker.Reporters()) == 1 && len(answerer.Reporters()) == 1)
	})
	return asker, answerer
}

func TestReports(t *testing.T) {
	t.Parallel()
	for _, kind := range []peer.Kind{peer.Local, peer.Member} {
		r := &reporter{answer: bytes.Repeat([]byte("."), maxReport-8)}
		asker, answerer := asking(t, r, kind)
		if n := asker.Reporters()[0]; n.ID != answerer.self().String() || n.Kind != kind || !n.Party.IsValid() {
			t.Errorf("%+v", n)
		}
		answer, err := asker.AskReport(t.Context(), answerer.self().String(), []byte("how much"))
		if err != nil || len(answer) != maxReport || !strings.HasPrefix(string(answer), "how much.") {
			t.Errorf("%s: %d bytes, %v", kind, len(answer), err)
		}
		if by, _ := r.by.Load().(peer.Asker); by.ID != asker.self().String() || by.Kind != kind {
			t.Errorf("asked by %+v", by)
		}
	}
}

// A stranger is neither asked nor answered.
func TestNoReportsForStrangers(t *testing.T) {
	t.Parallel()
	r := new(reporter)
	asker, answerer := asking(t, r, peer.Stranger)
	if n := asker.Reporters(); len(n) != 0 {
		t.Errorf("the stranger would be asked: %+v", n)
	}
	// To the answering box the asking one is local; now it no longer is.
	answerer.options.AllowClients = nil
	if _, err := asker.AskReport(t.Context(), answerer.self().String(), []byte("how much")); !errors.Is(err, network.ErrReset) || r.asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, r.asked.Load())
	}
}

// What is too long, and what is no question, is a fault of the box that sent it.
func TestMalformedReports(t *testing.T) {
	t.Parallel()
	r := &reporter{answer: make([]byte, maxReport)}
	asker, answerer := asking(t, r, peer.Local)
	id := answerer.self().String()
	if _, err := asker.AskReport(t.Context(), id, []byte("how much")); !errors.Is(err, peer.ErrMalformed) {
		t.Errorf("an answer that is too long: %v", err)
	}
	if fault := asker.Peers()[0].LastFault; fault == "" {
		t.Error("no fault of the box with the long answer")
	}
	for _, question := range []string{"nonsense", strings.Repeat("?", maxQuestion+1)} {
		before := r.asked.Load()
		if _, err := asker.AskReport(t.Context(), id, []byte(question)); err == nil {
			t.Errorf("%.10q is answered", question)
		}
		if len(question) > maxQuestion && r.asked.Load() != before {
			t.Error("a question that is too long is read")
		}
	}
	until(t, "the fault of the box with the wrong questions", func() bool { return answerer.Peers()[0].LastFault != "" })
}

// A box that asks without end gets some answers, and then those that its rate allows.
func TestReportsArePaced(t *testing.T) {
	t.Parallel()
	r := &reporter{answer: make([]byte, maxReport-10)}
	asker, answerer := asking(t, r, peer.Local)
	answered := 0
	begun := time.Now()
	for range 10 {
		if _, err := asker.AskReport(t.Context(), answerer.self().String(), []byte("?")); err == nil {
			answered++
		}
	}
	most := (reportsBurst + int(time.Since(begun).Seconds()+1)*int(reportsPace)) / maxReport
	if answered == 0 || answered > most {
		t.Errorf("%d answers of 1 MiB, want 1 to %d", answered, most)
	}
}

// Nor does a box that asks for little without end have this one work for more.
func TestQuestionsArePaced(t *testing.T) {
	t.Parallel()
	r := new(reporter)
	asker, answerer := asking(t, r, peer.Local)
	const questions = reportsBurst/questionCost + 24
	begun := time.Now()
	for range questions {
		if _, err := asker.AskReport(t.Context(), answerer.self().String(), []byte("?")); err != nil {
			t.Fatal(err)
		}
	}
	least := time.Duration(float64(questions*questionCost-reportsBurst) / float64(reportsPace) * float64(time.Second))
	if took := time.Since(begun); took < least || r.asked.Load() != questions {
		t.Errorf("%d answers in %v, want them to take %v", r.asked.Load(), took, least)
	}
}
