package apt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// past is what somebody between the box and the mirrors sends in the place of the
// present Release, of which text is the text.
type past struct {
	name string
	text func(string) string
	key  func(archive *aptest.Key) *aptest.Key // nil: no signature
}

var dateOfRelease = regexp.MustCompile(`(?m)^Date: .*$`)

func dateAs(text string, at time.Time) string {
	return dateOfRelease.ReplaceAllString(text, "Date: "+at.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC"))
}

func sameArchive(k *aptest.Key) *aptest.Key { return k }

var pasts = []past{
	{"replay", nil, sameArchive},
	{"no signature", func(s string) string { return dateAs(s, time.Now().Add(-time.Minute)) }, nil},
	{"stranger's key", func(s string) string { return dateAs(s, time.Now().Add(-time.Minute)) }, func(*aptest.Key) *aptest.Key { return stranger }},
	{"another suite", func(s string) string {
		s = strings.NewReplacer("Suite: stable", "Suite: testing", "Codename: stable-codename", "Codename: testing-codename").Replace(s)
		return dateAs(s, time.Now().Add(-time.Minute))
	}, sameArchive},
}

// files are the Release files of the past, by name; nil for one that is not there.
func (p past) files(m *mirrored) map[string][]byte {
	if p.text == nil {
		return map[string][]byte{
			"InRelease": m.former.File("dists/stable/InRelease"), "Release": m.former.File("dists/stable/Release"), "Release.gpg": m.former.File("dists/stable/Release.gpg"),
		}
	}
	text := []byte(p.text(string(m.latest.File("dists/stable/Release"))))
	if p.key == nil {
		return map[string][]byte{"InRelease": text, "Release": text, "Release.gpg": nil}
	}
	k, at := p.key(m.key), time.Now().Add(-time.Minute)
	return map[string][]byte{"InRelease": aptest.Clearsign(text, at, k), "Release": text, "Release.gpg": aptest.Sign(text, at, k)}
}

// besideThem are the validators of the attacker's answers.
var besideThem = map[string][]aptest.Fault{"present ETag": nil, "present date": {aptest.NoETag()}, "none": {aptest.NoValidators()}}

// TestRollback has real apt use a box while somebody answers with a suite's past, or
// with what was never its own. A box that holds the present one serves it, and every
// box has it at the next request after the last such answer. `go test -v` prints a
// table.
func TestRollback(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines []string
	t.Run("attacks", func(t *testing.T) {
		for _, p := range pasts {
			for _, pair := range []bool{false, true} {
				for validators := range besideThem {
					for _, mirrors := range []int{1, 3} {
						if (mirrors > 1 || pair) && validators != "present ETag" || mirrors > 1 && pair {
							continue // package fetch has these
						}
						for _, warm := range []bool{false, true} {
							if warm && validators != "present ETag" {
								continue
							}
							form := map[bool]string{false: "InRelease", true: "Release and Release.gpg"}[pair]
							name := fmt.Sprintf("%s %s %d mirrors %s warm %v", p.name, form, mirrors, validators, warm)
							t.Run(name, func(t *testing.T) {
								t.Parallel()
								during, after := p.run(t, pair, mirrors, besideThem[validators], warm)
								mu.Lock()
								defer mu.Unlock()
								lines = append(lines, fmt.Sprintf("| %s | %s | %d | %s | %v | %s | %s |", p.name, form, mirrors, validators, warm, during, after))
								if warm && during != "present" || after != "present" {
									t.Errorf("during the attack: %s; after it: %s", during, after)
								}
							})
						}
					}
				}
			}
		}
	})
	t.Log("\n| attack | form | mirrors | validators | warm | during | after |\n|---|---|---|---|---|---|---|\n" + strings.Join(lines, "\n"))
}

// run attacks a box and returns what new clients get of it meanwhile and afterwards.
func (p past) run(t *testing.T, pair bool, mirrors int, validators []aptest.Fault, warm bool) (during, after string) {
	t.Helper()
	m := newMirrored(t, mirrors)
	if pair {
		for _, mirror := range m.mirrors {
			mirror.Delete("/debian/dists/stable/InRelease")
		}
	}
	if warm && m.generation(t) != "present" {
		t.Error("the box has not the present Release before the attack")
	}
	for _, mirror := range m.mirrors {
		for name, data := range p.files(m) {
			faults := append([]aptest.Fault{aptest.OtherBody(data)}, validators...)
			if data == nil || pair && name == "InRelease" {
				faults = []aptest.Fault{aptest.Status(http.StatusNotFound)}
			}
			mirror.Inject("*/"+name, faults...)
		}
	}
	for range 2 {
		during = m.generation(t)
	}
	for _, mirror := range m.mirrors {
		mirror.ClearFaults()
		if pair {
			mirror.Inject("*/InRelease", aptest.Status(http.StatusNotFound))
		}
	}
	return during, m.generation(t)
}

// aptErrors are lines of apt that failed to update; it ignores that there is no InRelease.
var aptErrors = regexp.MustCompile(`(?m)^(Err|W:|E:).*`)

// generation is which one a new client gets.
func (m *mirrored) generation(t *testing.T) string {
	t.Helper()
	c := m.client(t, nil)
	if out, err := c.Apt(t.Context(), "update"); err != nil || aptErrors.MatchString(out) {
		return "apt fails"
	}
	policy, err := c.Run(t.Context(), "apt-cache", "policy", "new")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(policy, "1.0-1") {
		return "present"
	}
	return "past"
}

// An administrator accepts that an archive has really gone back, with the digest that
// the API shows, and clients get it.
func TestAcceptedRollback(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	archive := aptest.NewArchive(key)
	archive.Add(aptest.Package{Name: "old", Version: "1.0-1", Size: 1000})
	former := archive.Publish(time.Now().Add(-2 * time.Hour))
	archive.Add(aptest.Package{Name: "new", Version: "1.0-1", Size: 1000})
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{})
	mirror.Publish("/debian", archive.Publish(time.Now().Add(-time.Hour)))
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	b := box.Start(t, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_INDEX_TTL=0s", "MILLPOND_ALLOW_UPSTREAMS="+mirror.Addr(), "MILLPOND_ADMIN_TOKEN="+adminToken)
	has := func(name string) bool {
		c := aptest.NewClient(t)
		c.Trust(key)
		c.Proxy(b.URL)
		c.Sources(mirror.Source("/debian", "stable", "main"))
		c.MustApt("update")
		policy, err := c.Run(t.Context(), "apt-cache", "policy", name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(policy, "1.0-1")
	}
	if !has("new") {
		t.Fatal("the archive's package is not there")
	}
	mirror.Publish("/debian", former)
	if !has("new") {
		t.Error("the archive's older Release replaced the newer one")
	}
	s := list[api.Suite](t, b, "/api/v1/suites").Items[0]
	if s.Rejected == nil || !s.Rejected.Date.Equal(former.Time.Truncate(time.Second)) || !strings.Contains(s.Rejected.Reason, "older") || s.State != "stale" {
		t.Fatalf("suite: %+v, rejected %+v", s, s.Rejected)
	}
	if events := string(b.Get("/api/v1/events")); !strings.Contains(events, "older than the held one") {
		t.Errorf("events: %s", events)
	}
	acceptRejected(t, b)
	if has("new") || !has("old") {
		t.Error("the accepted Release is not in force")
	}
	becomes(t, b, "a fresh suite with nothing rejected", func(s api.Suite) bool {
		return s.Rejected == nil && s.State == "fresh" && s.Date.Equal(former.Time.Truncate(time.Second))
	})
	if !strings.Contains(b.Log(), "acceptRelease") {
		t.Error("the log does not say who accepted it")
	}
}

const adminToken = "correct-horse-battery-staple"

// acceptRejected accepts the rejected Release of the box's one suite.
func acceptRejected(t *testing.T, b *box.Box) {
	t.Helper()
	s := list[api.Suite](t, b, "/api/v1/suites").Items[0]
	if s.Rejected == nil {
		t.Fatalf("nothing was rejected: %+v", s)
	}
	body, err := json.Marshal(api.AcceptRequest{Suite: s.URL, Digest: s.Rejected.Digest})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+"/api/v1/suites/accept", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("%s, want 204", resp.Status)
	}
}
