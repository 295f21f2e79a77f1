package catalog

import (
	"testing"

	"millpond/internal/digest"
)

func TestLearning(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	index := Entry{Kind: Content, Digest: digest.Of([]byte("index")), Suite: at(t, suiteURL)}
	release := Entry{Kind: ReleaseFile, Suite: at(t, suiteURL)}
	over := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	if c.Idle() != nil || c.Learning(index.Digest) != nil {
		t.Error("something is being learned in the beginning")
	}
	endAhead := c.BeginLearning(index)
	if c.Idle() != nil || c.Learning(index.Digest) == nil {
		t.Error("an index that no client has asked for is not being learned, or makes others wait")
	}
	endAhead()
	endRelease := c.BeginLearning(release)
	idle := c.Idle()
	if idle == nil || c.learning.mayList(at(t, archiveURL+"/pool/a.deb")) {
		t.Error("look-ups wait for the check of a Release file, or nothing does")
	}
	c.Await(index) // nobody reads it yet
	first, second := c.BeginLearning(index), c.BeginLearning(index)
	if c.learning.mayList(at(t, archiveURL+"/pool/a.deb")) {
		t.Error("look-ups wait for an index that no client has asked for")
	}
	c.Await(index)
	c.Await(index)
	learned := c.Learning(index.Digest)
	if learned == nil || !c.learning.mayList(at(t, archiveURL+"/pool/a.deb")) {
		t.Error("the index is not being learned")
	}
	endRelease()
	first()
	first() // counts once
	if over(idle) || over(learned) || c.Learning(index.Digest) != learned {
		t.Error("over although the index is being learned by another")
	}
	second()
	if !over(idle) || !over(learned) || c.Idle() != nil || c.Learning(index.Digest) != nil {
		t.Error("not over")
	}
	defer c.BeginLearning(release)()
	if over(c.Idle()) {
		t.Error("over again at once")
	}
}
