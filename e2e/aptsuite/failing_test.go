package aptsuite

// fails is how many checks of a test fail through the box, at most, and why.
type fails struct {
	checks int
	reason string
	// empty is how many fail at most through a box that holds nothing: most
	// because of the words of a status line.
	empty int
	// passes says that the test passes at times: it depends on which of two
	// errors apt sees first.
	passes bool
}

// Why tests fail through the box. None of these could be mended without giving up
// something that the box is for.
const (
	held      = "the box serves the right file, which it holds, after the test has broken the mirror's"
	lastGood  = "the mirror no longer has a Release, or has a damaged or older one, or one without its indices: the box serves the last good one for an hour"
	verified  = "the box answers 502 for bytes with a wrong digest, which apt prints instead of its own Hash Sum mismatch"
	redirects = "the box follows the mirror's redirects itself, and the test looks for them in what apt prints"
	asked     = "the test looks at the last request to its web server, or at its log: the box sends it fewer requests, with other conditions and on connections of its own"
	worded    = "the box's status line says what went wrong at the mirror in other words than the mirror or apt"
)

// byHolding reports whether a test fails because of what the box holds.
func (f fails) byHolding() bool { return f.reason == held || f.reason == lastGood }

// failing are the tests that do not pass through the box. One that passes must
// not be here.
var failing = map[string]fails{
	"test-acquire-same-file-multiple-times":                     {checks: 21, reason: redirects},
	"test-apt-https-transient":                                  {checks: 1, reason: worded},
	"test-apt-redirect-loop":                                    {checks: 1, reason: worded},
	"test-apt-update-expected-size":                             {checks: 10, reason: lastGood, empty: 10},
	"test-apt-update-filesize-mismatch":                         {checks: 2, reason: "of two wrong files apt reports the first one that it gets, or both: through any proxy the intervals between them differ", passes: true},
	"test-apt-update-hashsum-mismatch":                          {checks: 12, reason: held, empty: 3},
	"test-apt-update-ims":                                       {checks: 28, reason: lastGood, empty: 4},
	"test-apt-update-not-modified":                              {checks: 12, reason: lastGood, empty: 8},
	"test-apt-update-stale":                                     {checks: 2, reason: lastGood, empty: 1},
	"test-apt-update-transactions":                              {checks: 11, reason: verified},
	"test-apt-update-unauth":                                    {checks: 4, reason: "the box sends the file, not 304, to a client whose file has another date than the mirror's: update repairs what the test has damaged"},
	"test-bug-602412-dequote-redirect":                          {checks: 3, reason: asked},
	"test-bug-617690-allow-unauthenticated-makes-all-untrusted": {checks: 2, reason: held},
	"test-bug-624218-Translation-file-handling":                 {checks: 9, reason: lastGood},
	"test-bug-778375-server-has-no-reason-phrase":               {checks: 4, reason: "the box's status lines have a reason phrase where the mirror's have none"},
	"test-bug-869859-retry-downloads":                           {checks: 7, reason: held, empty: 2},
	"test-cve-2013-1051-InRelease-parsing":                      {checks: 2, reason: lastGood, empty: 2},
	"test-cve-2019-3462-dequote-injection":                      {checks: 4, reason: redirects},
	"test-different-methods-for-same-source":                    {checks: 2, reason: "the test expects no http:// in the requests that apt prints: to any proxy they begin with it"},
	"test-handle-redirect-as-used-mirror-change":                {checks: 9, reason: redirects},
	"test-http-if-range":                                        {checks: 29, reason: asked},
	"test-http-pipeline-messup":                                 {checks: 13, reason: verified},
	"test-partial-file-support":                                 {checks: 25, reason: asked},
	"test-pdiff-usage":                                          {checks: 150, reason: lastGood, empty: 70},
	"test-releasefile-verification":                             {checks: 260, reason: lastGood},
	"test-ubuntu-bug-1098738-apt-get-source-md5sum":             {checks: 8, reason: verified},
	"test-ubuntu-bug-346386-apt-get-update-paywall":             {checks: 7, reason: worded},
	"test-uri-encode-filename-field":                            {checks: 3, reason: held},
}

// short are tests of the kinds of requests that apt makes, which pass in about a
// minute together.
var short = []string{
	"test-apt-get-download",
	"test-apt-https-no-redirect",
	"test-apt-update-empty-files",
	"test-apt-update-repeated-ims-hit",
	"test-authentication-basic",
	"test-bug-595691-empty-and-broken-archive-files",
	"test-bug-728500-tempdir",
	"test-bug-738785-switch-protocol",
	"test-hashsum-verification",
	"test-ubuntu-bug-1921626-unsized-packages",
}
