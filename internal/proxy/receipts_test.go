package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/ledger"
)

// contentNumbered is a file that indices list.
func contentNumbered(n int) catalog.Entry {
	return catalog.Entry{Kind: catalog.Content, Digest: digest.Of(binary.BigEndian.AppendUint32(nil, uint32(n)))}
}

func partyNumbered(n int) front.Party { return front.PartyOf(clientAt(n)) }

// A party's file is remembered for an hour, under all its names if its digest is known,
// and by its name if not.
func TestReceipts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceipts()
		file, renamed := contentNumbered(1), contentNumbered(1)
		renamed.Location = suiteNamed(1)
		unknown, other := catalog.Entry{Location: suiteNamed(2)}, catalog.Entry{Location: suiteNamed(3)}
		r.add(partyNumbered(1), file)
		r.add(partyNumbered(1), unknown)
		time.Sleep(receiptAge - time.Second)
		for _, tt := range []struct {
			name  string
			party int
			file  catalog.Entry
			want  bool
		}{
			{"a digest", 1, file, true},
			{"a digest under another name", 1, renamed, true},
			{"a name", 1, unknown, true},
			{"another digest", 1, contentNumbered(2), false},
			{"another name", 1, other, false},
			{"another party", 2, file, false},
		} {
			if got := r.has(partyNumbered(tt.party), tt.file); got != tt.want {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			}
		}
		r.add(partyNumbered(1), unknown) // sent again
		time.Sleep(time.Second)
		if r.has(partyNumbered(1), file) || !r.has(partyNumbered(1), unknown) {
			t.Error("an hour later: the file counts still, or the one that was sent again does not")
		}
		time.Sleep(receiptAge)
		r.add(partyNumbered(2), file)
		if len(r.parties) != 1 || r.order.Len() != 1 {
			t.Errorf("%d parties are remembered after what they were sent counts no more", len(r.parties))
		}
	})
}

func TestReceiptsAreForgotten(t *testing.T) {
	t.Parallel()
	p := New(Options{})
	p.receipts.add(partyNumbered(1), contentNumbered(1))
	p.receipts.add(partyNumbered(2), contentNumbered(1))
	p.Forget(clientAt(1))
	p.Forget(clientAt(3))
	if p.receipts.has(partyNumbered(1), contentNumbered(1)) || !p.receipts.has(partyNumbered(2), contentNumbered(1)) {
		t.Error("the client that was erased is remembered, or the other one is not")
	}
}

// However many parties and files there are, what is remembered is bounded. A party with
// many files loses its own, the oldest first.
func TestReceiptsAreBounded(t *testing.T) {
	t.Parallel()
	r := newReceipts()
	r.add(partyNumbered(0), contentNumbered(0))
	for i := range 2*maxReceipts + 1 {
		r.add(partyNumbered(1), contentNumbered(i))
	}
	for file, want := range map[int]bool{0: false, maxReceipts: false, maxReceipts + 1: true, 2 * maxReceipts: true} {
		if got := r.has(partyNumbered(1), contentNumbered(file)); got != want {
			t.Errorf("file %d of many: %v, want %v", file, got, want)
		}
	}
	if n := len(r.parties[partyNumbered(1)].Value.(*receiver).files); n != maxReceipts {
		t.Errorf("%d files of one party, want %d", n, maxReceipts)
	}
	if !r.has(partyNumbered(0), contentNumbered(0)) {
		t.Error("another party's file is forgotten")
	}
	for i := range maxReceivers {
		r.add(partyNumbered(2+i), contentNumbered(0))
		r.add(partyNumbered(1), contentNumbered(0)) // one that goes on
	}
	if len(r.parties) != maxReceivers || r.order.Len() != maxReceivers {
		t.Errorf("%d parties, want %d", len(r.parties), maxReceivers)
	}
	if r.has(partyNumbered(0), contentNumbered(0)) || !r.has(partyNumbered(1), contentNumbered(0)) || !r.has(partyNumbered(1+maxReceivers), contentNumbered(0)) {
		t.Error("not the party that was sent nothing for the longest time is forgotten")
	}
}

// asked is a Fetcher that remembers which requests came again.
type asked struct {
	fakeFetcher
	mu    sync.Mutex
	again []bool
}

func (a *asked) Get(ctx context.Context, r fetch.Request) (*fetch.File, error) {
	a.mu.Lock()
	a.again = append(a.again, r.Again)
	a.mu.Unlock()
	return a.fakeFetcher.Get(ctx, r)
}

func (a *asked) Peek(ctx context.Context, r fetch.Request) (*fetch.File, error) { return a.Get(ctx, r) }

// A request comes again if the client had all of the file before, and wants all of it.
func TestWhoComesAgain(t *testing.T) {
	t.Parallel()
	data := pattern(5000)
	tag := `"` + digest.Of(data).String() + `"`
	for name, get := range map[string]func(context.Context) (*fetch.File, error){
		"held": holds(t, data), "downloading": gives(data, ledger.FromMirror),
	} {
		f := &asked{fakeFetcher: make(fakeFetcher)}
		b := newBox(func(o *Options) { o.Fetcher = f }).serve(t)
		b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content, Digest: digest.Of(data), Size: int64(len(data))}
		f.fakeFetcher[debURL] = get
		for _, tt := range []struct {
			name, method string
			header       []string
			again        bool
		}{
			{"its size", http.MethodHead, nil, false},
			{"a part", http.MethodGet, []string{"Range: bytes=10-"}, false},
			{"all, which was not sent before", http.MethodGet, nil, false},
			{"a part, after all", http.MethodGet, []string{"Range: bytes=10-"}, false},
			{"all unless it has it", http.MethodGet, []string{"If-None-Match: " + tag}, false},
			{"its size, after all", http.MethodHead, nil, false},
			{"all again", http.MethodGet, nil, true},
			{"all a third time", http.MethodGet, []string{"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"}, true},
		} {
			b.do(t, tt.method, debURL, tt.header...)
			if got := f.again[len(f.again)-1]; got != tt.again {
				t.Errorf("%s, %s: again is %v, want %v", name, tt.name, got, tt.again)
			}
		}
	}
}

// Who was sent a part of a file before the box cut the answer has not had it.
func TestCutAnswersAreNoReceipts(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	e := catalog.Entry{Kind: catalog.Content, Digest: digest.Of(pattern(5000)), Size: 5000}
	b.catalog.entries[debURL] = e
	b.files[debURL] = func(context.Context) (*fetch.File, error) {
		file, err := gives(pattern(5000), ledger.FromMirror)(t.Context())
		body := file.Body.(*fakeBody)
		body.end, body.err = 3000, errors.New("the mirror stalls")
		return file, err
	}
	c := b.dial(t)
	if _, err := io.WriteString(c, "GET "+debURL+" HTTP/1.1\r\nHost: box.example.org\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if len(got) >= 5000 {
		t.Fatalf("%d bytes, %v; want an answer that is cut", len(got), err)
	}
	local := front.PartyOf(netip.MustParseAddr("127.0.0.1"))
	if b.receipts.has(local, e) {
		t.Error("it counts as sent")
	}
	b.files[debURL] = gives(pattern(5000), ledger.FromMirror)
	b.do(t, http.MethodGet, debURL)
	if !b.receipts.has(local, e) {
		t.Error("the whole file does not count as sent")
	}
}
