package proxy

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// secret is what no log and no answer may have in it, as a login and in a URL.
const (
	secret    = "hunter2"
	encoded   = "Ym9iOmh1bnRlcjI="
	authField = "Authorization: Basic " + encoded
)

// loginFetcher remembers the logins of requests, and has err for all.
type loginFetcher struct {
	fakeFetcher
	logins chan mirror.Login
}

func (f loginFetcher) Get(ctx context.Context, r fetch.Request) (*fetch.File, error) {
	f.logins <- r.Login
	return f.fakeFetcher.Get(ctx, r)
}

func (f loginFetcher) Peek(ctx context.Context, r fetch.Request) (*fetch.File, error) {
	return f.Get(ctx, r)
}

func (f loginFetcher) Anticipate(r fetch.Request) { f.logins <- r.Login }

func newLoginBox() (*box, chan mirror.Login) {
	logins := make(chan mirror.Login, 100)
	b := newBox(func(o *Options) { o.Fetcher = loginFetcher{o.Fetcher.(fakeFetcher), logins} })
	return b, logins
}

// A client's login is for the archive where its request's URL has the archive's
// host. A login for the box goes nowhere.
func TestLoginOfForms(t *testing.T) {
	t.Parallel()
	const login = mirror.Login("Basic " + encoded)
	b, logins := newLoginBox()
	b.serve(t)
	for target, want := range map[string]mirror.Login{
		debURL:                              login,
		"https://deb.example.org" + debPath: login,
		"http://ann:pw@deb.example.org" + debPath:                     login, // the field has it as well, and goes first
		"http://HTTPS///deb.example.org" + debPath:                    "",
		"/deb.example.org" + debPath:                                  "",
		"/https/deb.example.org" + debPath:                            "",
		"http://localhost:" + b.port() + "/deb.example.org" + debPath: "",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			b.do(t, method, target, authField, "Proxy-Authorization: Basic "+encoded)
			if got := <-logins; got != want {
				t.Errorf("%s %s: got %v, want %v", method, target, got, want)
			}
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: x\r\n" + authField + "\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		if got := targetOf(r); !strings.Contains(target, "localhost") && got.login != want {
			t.Errorf("%s sent ahead: got %v, want %v", target, got.login, want)
		}
	}
	b.anticipate(context.Background(), []byte("GET "+debURL+" HTTP/1.1\r\nHost: x\r\n"+authField+"\r\n\r\n"), "127.0.0.1:1")
	if got := <-logins; got != login {
		t.Errorf("anticipated with %v", got)
	}
	if strings.Contains(b.logged.String(), encoded) {
		t.Error("a login is logged")
	}
}

func (b *box) port() string { return b.addr[strings.LastIndexByte(b.addr, ':')+1:] }

// A login for the box by its name is not sent to the archive in the path, nor
// when the request is sent ahead.
func TestLoginForTheBoxByName(t *testing.T) {
	t.Parallel()
	b, logins := newLoginBox()
	b.serve(t)
	own := "http://nas.example.org:3142/deb.example.org" + debPath
	b.do(t, "GET", own, authField)
	if got := <-logins; got != "" {
		t.Errorf("the archive gets %v", got)
	}
	b.anticipate(context.Background(), []byte("GET "+own+" HTTP/1.1\r\nHost: x\r\n"+authField+"\r\n\r\n"), "127.0.0.1:1")
	if got := <-logins; got != "" {
		t.Errorf("anticipated with %v", got)
	}
	b.files[debURL] = fails(&mirror.StatusError{URL: debURL, Code: 401, Challenges: []string{`Basic realm="x"`}})
	resp, _ := b.do(t, "GET", own, authField)
	if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != "" || !strings.Contains(resp.Status, authFile) {
		t.Errorf("a 401 is told as %q", resp.Status)
	}
}

// What a client with a login is sent is not for caches on the way.
func TestLoginIsNotCached(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	b.files[debURL] = gives([]byte("x"), ledger.FromMirror)
	if resp, _ := b.do(t, "GET", debURL, authField); resp.Header.Get("Cache-Control") != "private" {
		t.Errorf("Cache-Control %q", resp.Header.Get("Cache-Control"))
	}
}

// A 401 says what to do where the client's login cannot reach the mirror, in the
// status line; else it is the mirror's, with its challenge.
func TestLoginWanted(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	answer := func(loggedIn bool) error {
		return &mirror.StatusError{URL: debURL, Code: 401, LoggedIn: loggedIn, Challenges: []string{`Basic realm="x"`}}
	}
	httpsURL := "https://deb.example.org" + debPath
	for _, tt := range []struct {
		name, target string
		loggedIn     bool // the request to the mirror
		header       []string
		want         []string // in the status line; none: the mirror's own
	}{
		{"proxy form", debURL, false, nil, nil},
		{"proxy form with a login", debURL, true, []string{authField}, nil},
		{"proxy form, box's login", debURL, true, nil, []string{"does not accept the login", authFile}},
		{"path form", "/deb.example.org" + debPath, false, []string{authField}, []string{"deb.example.org wants a login", authFile, "Acquire::http::Proxy"}},
		{"path form, box's login", "/deb.example.org" + debPath, true, nil, []string{"does not accept the login", authFile}},
		{"HTTPS form", "http://HTTPS///deb.example.org" + debPath, false, []string{authField}, []string{"deb.example.org wants a login", authFile}},
	} {
		for _, url := range []string{debURL, httpsURL} {
			b.files[url] = fails(answer(tt.loggedIn))
		}
		resp, body := b.do(t, "GET", tt.target, tt.header...)
		challenge := resp.Header.Get("WWW-Authenticate")
		if resp.StatusCode != 401 || (challenge != "") != (tt.want == nil) {
			t.Errorf("%s: %s, challenge %q", tt.name, resp.Status, challenge)
		}
		for _, part := range tt.want {
			if !strings.Contains(resp.Status, part) {
				t.Errorf("%s: %q lacks %q", tt.name, resp.Status, part)
			}
		}
		if strings.HasPrefix(tt.target, "http://HTTPS") && strings.Contains(resp.Status, "Acquire::http::Proxy") {
			t.Errorf("%s: the proxy form is no help for https: %q", tt.name, resp.Status)
		}
		if strings.Contains(resp.Status+body+b.logged.String(), encoded) {
			t.Errorf("%s: a login is shown", tt.name)
		}
	}
}

// A login in the URL of a source, which apt sends to a proxy as it stands there,
// is for the archive, and shown nowhere.
func TestLoginBeforeTheHost(t *testing.T) {
	t.Parallel()
	b, logins := newLoginBox()
	b.serve(t)
	b.files[debURL] = gives([]byte("x"), ledger.FromMirror)
	for user, want := range map[string]mirror.Login{
		"bob:" + secret + "@":         "Basic " + encoded,
		"bob:%68unter2@":              "Basic " + encoded,
		"bob%40x:" + secret + "%3a1@": mirror.Basic("bob@x", secret+":1"),
		secret + "@":                  mirror.Basic(secret, ""),
	} {
		resp, body := b.do(t, "GET", "http://"+user+"deb.example.org"+debPath)
		if resp.StatusCode != 200 || body != "x" || resp.Header.Get("Cache-Control") != "private" {
			t.Errorf("%s: %s, Cache-Control %q", user, resp.Status, resp.Header.Get("Cache-Control"))
		}
		if got := <-logins; got != want {
			t.Errorf("%s: the archive gets another login", user)
		}
	}
	// A login for the box is not the archive's.
	b.do(t, "GET", "http://bob:"+secret+"@nas.example.org:3142/deb.example.org"+debPath)
	if got := <-logins; got != "" {
		t.Errorf("the archive gets %v for the box", got)
	}
	b.files[debURL] = fails(errors.New("broken"))
	resp, body := b.do(t, "GET", "http://bob:"+secret+"@deb.example.org"+debPath)
	if strings.Contains(resp.Status+body+b.logged.String(), secret) {
		t.Errorf("it is shown: %s\n%s\n%s", resp.Status, body, b.logged)
	}
}

// A login within the path is refused and shown nowhere.
func TestLoginInPath(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	for _, target := range []string{
		"http://HTTPS///bob:" + secret + "@deb.example.org" + debPath,
		"http://HTTPS///bob:" + secret + "%40deb.example.org" + debPath,
		"/bob:" + secret + "@deb.example.org" + debPath,
		"/bob:" + secret + "%40deb.example.org" + debPath,
		"/https/" + secret + "@deb.example.org" + debPath,
	} {
		resp, body := b.do(t, "GET", target)
		if resp.StatusCode != 400 || !strings.Contains(resp.Status, "user name") {
			t.Errorf("%s: %s", target, resp.Status)
		}
		if strings.Contains(resp.Status+body, secret) {
			t.Errorf("%s: the answer shows it: %s\n%s", target, resp.Status, body)
		}
	}
	if resp, body := b.do(t, "CONNECT", secret+"@deb.example.org:443"); resp.StatusCode != 400 || strings.Contains(resp.Status+body, secret) {
		t.Errorf("CONNECT: %s\n%s", resp.Status, body)
	}
	if strings.Contains(b.logged.String(), secret) {
		t.Errorf("the log shows it:\n%s", b.logged)
	}
}
