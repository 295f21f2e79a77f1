package deb822

import (
	"strings"
	"testing"
)

func TestDiffIndex(t *testing.T) {
	const history = "SHA256-Current: " + hexA + " 64988655\nSHA256-History:\n " + hexA + " 1 2026-10-16-0808.02\n" +
		"SHA256-Patches:\n " + hexA + " 2 T-1-F-0\n"
	merged := File{Path: "T-1-F-0.gz", Size: 1180949, Digest: sum(t, hexB)}
	single := File{Path: "2026-10-16-0808.02.gz", Size: 21447, Digest: sum(t, hexA)}
	testReader(t, DiffIndex, []readCase{
		{"empty", "", nil, ""},
		{"no downloads", history, nil, ""},
		{"downloads", history + "SHA1-Download:\n 00 1 a.gz\nSHA256-Download:\n " + hexB + " 1180949 T-1-F-0.gz\n" +
			"X-Unmerged-SHA256-Download:\n " + hexA + "   21447 2026-10-16-0808.02.gz\nX-Patch-Precedence: merged\n", []File{merged, single}, ""},
		{"bad entries", "SHA256-Download:\n x 1 a.gz\n " + hexA + " 1 ../a.gz\n " + hexB + " 1180949 T-1-F-0.gz\n", []File{merged}, ""},
	})
}

func TestPatch(t *testing.T) {
	a := File{Path: "pool/a_2_amd64.deb", Size: 10, Digest: sum(t, hexA)}
	b := File{Path: "pool/b_1_all.deb", Size: -1, Digest: sum(t, hexB)}
	part := File{Path: "pool/a_2_amd64.deb", Size: 10, Digest: sum(t, hexA)}
	const (
		stanzaA = "Package: a\nVersion: 2\nArchitecture: amd64\nDescription: x\n .\n y\nFilename: pool/a_2_amd64.deb\nSize: 10\nSHA256: " + hexA + "\n"
		stanzaB = "Package: b\nFilename: pool/b_1_all.deb\nSHA256: " + hexB + "\n"
	)
	testReader(t, Patch, []readCase{
		{"empty", "", nil, ""},
		{"one stanza", "10a\n\n" + stanzaA + ".\n", []File{a}, ""},
		{"no final newline", "10a\n\n" + stanzaA + ".", []File{a}, ""},
		{"CRLF", strings.ReplaceAll("10a\n\n"+stanzaA+".\n", "\n", "\r\n"), []File{a}, ""},
		{"several stanzas in one hunk", "10,20c\n" + stanzaA + "\n" + stanzaB + ".\n", []File{a, b}, ""},
		{"several hunks", "30a\n" + stanzaA + "\n.\n20,25d\n10c\n" + stanzaB + ".\n", []File{a, b}, ""},
		{"part of a stanza", "17,19c\nFilename: pool/a_2_amd64.deb\nSize: 10\nSHA256: " + hexA + "\n.\n", []File{{Path: a.Path, Size: 10, Digest: a.Digest}}, ""},
		{"tail of one stanza, all of the next, head of a third",
			"9c\n folded text\nTag: x\n\n" + stanzaA + "\nPackage: b\n.\n", []File{a}, ""},
		{"starts after the name", "9,19c\nVersion: 2\nFilename: pool/a_2_amd64.deb\nSize: 10\nSHA256: " + hexA + "\n.\n", []File{part}, ""},
		{"pair in two hunks", "9c\nFilename: pool/a_2_amd64.deb\n.\n5c\nSHA256: " + hexA + "\n.\n", nil, ""},
		{"pair in two stanzas", "9c\nSHA256: " + hexA + "\n\nPackage: b\nFilename: pool/b_1_all.deb\n.\n", nil, ""},
		{"only the digest", "9c\nSHA256: " + hexA + "\n.\n", nil, ""},
		{"unusable stanza beside a good one", "1a\nFilename: ../x\nSHA256: " + hexA + "\n\n" + stanzaB + ".\n", []File{b}, ""},
		{"deletions", "9,10d\n5d\n", nil, ""},
		{"doubled dot", "1a\n" + stanzaB + "\n..\n.\ns/.//\n", []File{b}, ""},
		{"substitution", "s/.//\n1a\n" + stanzaB + ".\n", []File{b}, ""},

		{"not a patch", "<html>\n", nil, "line 1"},
		{"an index", stanzaA, nil, "line 1"},
		{"unknown command", "9d\n8,7x\n", nil, "line 2"},
		{"shell escape", "!ls\n", nil, "line 1"},
		{"no address", "a\n" + stanzaA + ".\n", nil, "line 1"},
		{"half a range", "1,a\n" + stanzaA + ".\n", nil, "line 1"},
		{"ends in a hunk", "9a\n" + stanzaB, nil, "the patch ends inside a hunk"},
		{"no field in a hunk", "9a\n" + stanzaB + "\nevil\n.\n", []File{b}, ""},
		{"long line", "1a\nDepends: " + long + "\n" + stanzaB + ".\n", []File{b}, ""},
		{"long command", strings.Repeat("1", maxLine) + "a\n", nil, "line 1"},
		{"long path", "1a\nFilename: " + long + "\n\n" + stanzaB + ".\n", []File{b}, ""},
	})
}
