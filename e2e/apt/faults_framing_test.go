package apt

import "millpond/internal/aptest"

// framingFaults are answers that HTTP does not allow, or that nobody asked for.
func framingFaults() []fault {
	const ok = "HTTP/1.1 200 OK\r\n"
	var all []fault
	for _, f := range []struct {
		name  string
		fault aptest.Fault
	}{
		{"Content-Encoding UTF-8", aptest.Header("Content-Encoding", "UTF-8")},
		{"Content-Encoding gzip of what is not", aptest.Header("Content-Encoding", "gzip")},
		{"206 not asked for", aptest.Raw("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-LAST/LENGTH\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"206 not asked for, of the end", aptest.Raw("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-LAST/LENGTH\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"no Content-Length", aptest.NoContentLength()},
		{"chunks with trailers", aptest.Raw(ok + "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\nCHUNKS0\r\nX-End: 1\r\n\r\n")},
		{"chunks without an end", aptest.Raw(ok + "Transfer-Encoding: chunked\r\n\r\nCHUNKS")},
		{"early close", aptest.Truncate(200)},
		{"reset after the header", aptest.Reset(ok + "Content-Length: LENGTH\r\n\r\n")},
		{"empty file", aptest.OtherBody(nil)},
		{"Content-Length too large", aptest.Header("Content-Length", "200000")},
		{"Content-Length too small", aptest.Raw(ok + "Content-Length: 100\r\n\r\nBODY")},
		{"HTTP/1.0", aptest.Raw("HTTP/1.0 200 OK\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"HTTP/1.0 until close", aptest.Raw("HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\nBODY")},
		{"garbage for an answer", aptest.Raw("garbage\r\n\r\nBODY")},
		{"203", aptest.Raw("HTTP/1.1 203 Non-Authoritative Information\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"line end before the answer", aptest.Raw("\r\n" + ok + "Content-Length: LENGTH\r\n\r\nBODY")},
		{"two Content-Lengths, the last one right", aptest.Raw(ok + "Content-Length: 100\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"Transfer-Encoding identity", aptest.Raw(ok + "Transfer-Encoding: identity\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"103 and then 200", aptest.Raw("HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + ok + "Content-Length: LENGTH\r\n\r\nBODY")},
	} {
		all = append(all,
			fault{name: f.name + ", InRelease", strike: always("*/InRelease", f.fault)},
			fault{name: f.name + ", packages", strike: always(debs, f.fault), packages: true})
	}
	for _, f := range []struct {
		name  string
		fault aptest.Fault
	}{
		{"Content-Encoding none", aptest.Header("Content-Encoding", "none")},
		{"206 not asked for, without Content-Range", aptest.Raw("HTTP/1.1 206 Partial Content\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"200 with Content-Range", aptest.Header("Content-Range", "bytes 5-9/100")},
		{"chunks of no size", aptest.Raw(ok + "Transfer-Encoding: chunked\r\n\r\nBODY")},
		{"close after the header", aptest.Truncate(0)},
		{"reset in the middle of the header", aptest.Reset(ok + "Content-Le")},
		{"Content-Length that is no number", aptest.Raw(ok + "Content-Length: many\r\n\r\nBODY")},
		{"two Content-Lengths", aptest.Raw(ok + "Content-Length: LENGTH\r\nContent-Length: 100\r\n\r\nBODY")},
		{"Content-Length with a unit", aptest.Raw(ok + "Content-Length: LENGTH bytes\r\n\r\nBODY")},
		{"HTTP/1.0 with chunks", aptest.Raw("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nCHUNKS0\r\n\r\n")},
		{"HTTP without a version", aptest.Raw("HTTP 200 OK\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"field with a bad name", aptest.Raw(ok + "X(Y): 1\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"field with a control character", aptest.Raw(ok + "X: a\x01\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"no reason phrase", aptest.Raw("HTTP/1.1 200\r\nContent-Length: LENGTH\r\n\r\nBODY")},
		{"lines without CR", aptest.Raw("HTTP/1.1 200 OK\nContent-Length: LENGTH\n\nBODY")},
		{"header without a colon", aptest.Raw(ok + "Content-Length: LENGTH\r\nnonsense\r\n\r\nBODY")},
		{"body without a header", aptest.Raw("BODY")},
		{"100 and then 200", aptest.Raw("HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: LENGTH\r\n\r\nBODY")},
	} {
		all = append(all, fault{name: f.name + ", InRelease", strike: always("*/InRelease", f.fault)})
	}
	return append(all,
		fault{name: "Content-Encoding UTF-8, index", strike: always(indices, aptest.Header("Content-Encoding", "UTF-8"))},
		fault{name: "206 not asked for, index", strike: always(indices, aptest.Raw("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-LAST/LENGTH\r\nContent-Length: LENGTH\r\n\r\nBODY"))},
		fault{name: "HTTP/1.0 until close, index", strike: always(indices, aptest.Raw("HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\nBODY"))},
		fault{name: "203, index", strike: always(indices, aptest.Raw("HTTP/1.1 203 Non-Authoritative Information\r\nContent-Length: LENGTH\r\n\r\nBODY"))},
		fault{name: "garbage for an answer, index", strike: always(indices, aptest.Raw("garbage\r\n\r\nBODY"))},
		fault{name: "empty file, index", strike: always(indices, aptest.OtherBody(nil))},
		fault{name: "reset after the header, index", strike: always(indices, aptest.Reset(ok+"Content-Length: LENGTH\r\n\r\n"))},
	)
}

// resumeFaults cut a package off and then misbehave for the rest of it.
func resumeFaults() []fault {
	var all []fault
	for _, f := range []struct {
		name   string
		faults []aptest.Fault
		cold   want
	}{
		{"resume", nil, complete},
		{"resume with another ETag and other bytes", []aptest.Fault{aptest.OnResume(aptest.Corrupt(0, 10_000), aptest.Header("ETag", `"other"`))}, complete},
		{"resume with a weak ETag", []aptest.Fault{aptest.Header("ETag", `W/"1"`)}, usual},
		{"resume without validators", []aptest.Fault{aptest.NoValidators()}, usual},
		{"resume answered with 416", []aptest.Fault{aptest.OnResume(aptest.Status(416, "Content-Range", "bytes */100"))}, usual},
		{"resume answered with 403", []aptest.Fault{aptest.OnResume(aptest.Status(403))}, usual},
		{"resume answered with the whole file", []aptest.Fault{aptest.IgnoreRange()}, usual},
		{"resume with a bad Content-Range", []aptest.Fault{aptest.OnResume(aptest.Header("Content-Range", "bytes 7-9/10"))}, usual},
		{"resume without Content-Range", []aptest.Fault{aptest.OnResume(aptest.Header("Content-Range", ""))}, usual},
	} {
		cut := func(s *scene) { s.mirror.InjectTimes(1, "*one_*.deb", append(f.faults, aptest.Truncate(500))...) }
		all = append(all, fault{name: f.name, packages: true, retries: 2, cold: f.cold, strike: both(cut, always("*one_*.deb", f.faults...))})
	}
	return all
}
