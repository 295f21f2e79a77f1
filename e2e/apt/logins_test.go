package apt

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// passwords are those of the users whom the private archive knows, and of one
// whom it does not know.
var passwords = map[string]string{"alice": "correct-horse", "bob": "battery-staple", "mallory": "guesswork"}

func login(user string) string { return aptest.BasicLogin(user, passwords[user]) }

// newPrivateSite is a site whose archive is for alice and bob. Its box asks the
// mirror each time, and logs all there is.
func newPrivateSite(t *testing.T, settings ...string) *site {
	t.Helper()
	s := newSite(t, append([]string{"MILLPOND_INDEX_TTL=0s", "MILLPOND_LOG_LEVEL=debug"}, settings...)...)
	s.mirror.Inject("/debian/*", aptest.Login(login("alice"), login("bob")))
	return s
}

// authConf gives a client a user's login for a machine, "" for nobody's.
func authConf(t *testing.T, c *aptest.Client, machine, user string) {
	t.Helper()
	text := ""
	if user != "" {
		text = "machine " + machine + " login " + user + " password " + passwords[user] + "\n"
	}
	if err := os.WriteFile(filepath.Join(c.Root, "etc/apt/auth.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// clientAs is a fresh apt that has a user's login for the mirror.
func (s *site) clientAs(t *testing.T, user string) *aptest.Client {
	t.Helper()
	c := s.client(t)
	authConf(t, c, "http://"+s.mirror.Addr(), user)
	return c
}

// wantRefused checks that apt fails and prints the words.
func wantRefused(t *testing.T, c *aptest.Client, words ...string) {
	t.Helper()
	out, err := c.Apt(t.Context(), "update", "--error-on=any")
	if err == nil {
		t.Errorf("apt has updated:\n%s", out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("apt does not print %q:\n%s", w, out)
		}
	}
}

// wantNoSecrets checks that no password is in what the box printed or shows.
func wantNoSecrets(t *testing.T, b *box.Box) {
	t.Helper()
	shown := b.Log()
	for _, page := range []string{
		"/", "/metrics", "/api/v1/summary", "/api/v1/blobs", "/api/v1/suites", "/api/v1/clients", "/api/v1/settings", "/api/v1/transfers",
	} {
		resp, err := http.Get(b.URL + page)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		_ = resp.Write(&text) // what came of it counts
		resp.Body.Close()
		shown += text.String()
	}
	for user, password := range passwords {
		_, encoded, _ := strings.Cut(login(user), " ")
		if strings.Contains(shown, password) || strings.Contains(shown, encoded) {
			t.Errorf("the box shows %s's password", user)
		}
	}
}

func TestLogins(t *testing.T) {
	s := newPrivateSite(t)
	everything(t, s.clientAs(t, "alice"))
	wantRefused(t, s.clientAs(t, ""), "401  Unauthorized")
	wantRefused(t, s.clientAs(t, "mallory"), "401  Unauthorized")

	s.mirror.ResetLog()
	everything(t, s.clientAs(t, "bob"))
	for _, r := range s.mirror.Log() {
		again := r.Status == http.StatusOK && strings.HasSuffix(r.Path, "Release") // a new one is asked for twice
		if r.Status != http.StatusNotModified && !again || r.Authorization != login("bob") {
			t.Errorf("bob made the box ask for %s: %d", r.Path, r.Status)
		}
	}

	// A package that bob has the index of, and no right to.
	nobody := s.clientAs(t, "bob")
	nobody.MustApt("update")
	authConf(t, nobody, "", "")
	if out, err := nobody.Apt(t.Context(), "install", "--download-only", "pkg01"); err == nil || !strings.Contains(out, "401") {
		t.Errorf("a client without a login has a held package: %v\n%s", err, out)
	}

	s.mirror.Down()
	wantNoSecrets(t, s.box)
	s.box.Kill()
	s.box.Run()
	everything(t, s.clientAs(t, "alice"))
	everything(t, s.clientAs(t, "bob"))
	wantRefused(t, s.clientAs(t, ""), "502")
	wantRefused(t, s.clientAs(t, "mallory"), "502")
	wantNoSecrets(t, s.box)
}

// What the mirror redirects to gets no login.
// apt sends the login of a source to a proxy in the URL as well.
func TestLoginInSource(t *testing.T) {
	s := newPrivateSite(t)
	clientWith := func(password string) *aptest.Client {
		c := s.client(t)
		uri := "http://alice:" + password + "@" + s.mirror.Addr() + "/debian"
		c.Sources("deb "+uri+" stable main", "deb-src "+uri+" stable main")
		return c
	}
	everything(t, clientWith(passwords["alice"]))
	wantRefused(t, clientWith("guesswork"), "401  Unauthorized")
	wantRefused(t, s.clientAs(t, ""), "401  Unauthorized")
	wantNoSecrets(t, s.box)
}

func TestLoginsAndRedirects(t *testing.T) {
	s := newPrivateSite(t)
	other := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	other.Publish("/debian", s.archive.Publish(time.Now()))
	s.mirror.Inject("*.deb", aptest.Redirect(other.URL("/")+"*"))
	s.box.Stop()
	s.box = box.Start(t, s.settings(t, "MILLPOND_ALLOW_UPSTREAMS="+s.mirror.Addr()+","+other.Addr())...)
	everything(t, s.clientAs(t, "alice"))
	if len(other.Log()) == 0 {
		t.Error("nothing was redirected")
	}
	for _, r := range other.Log() {
		if r.Authorization != "" {
			t.Errorf("%s was sent with a login", r.Path)
		}
	}
}

// In the path forms apt's login is the box's, and reaches no archive; with a
// login of the box they need none, https archives too.
func TestLoginsOfTheBox(t *testing.T) {
	s := newPrivateSite(t)
	tls := aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})
	tls.Publish("/debian", s.archive.Publish(time.Now()))
	tls.Inject("/debian/*", aptest.Login(login("alice")))
	dir := t.TempDir()
	ca, auth := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "auth.conf")
	text := "# The box's\nmachine " + tls.Addr() + "/debian\nlogin alice\npassword " + passwords["alice"] +
		"\nmachine http://" + s.mirror.Addr() + " login alice password " + passwords["alice"] + "\n"
	for name, data := range map[string]string{ca: string(tls.CertPEM()), auth: text} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings := s.settings(t, "SSL_CERT_FILE="+ca, "MILLPOND_ALLOW_UPSTREAMS="+tls.Addr()+","+s.mirror.Addr(), "MILLPOND_LOG_LEVEL=debug")
	without := box.Start(t, settings...)
	with := box.Start(t, append(settings, "MILLPOND_AUTH_FILE="+auth)...)
	forms := func(b *box.Box) map[string]string {
		return map[string]string{
			"path":  b.URL + "/" + s.mirror.Addr() + "/debian",
			"https": b.URL + "/https/" + tls.Addr() + "/debian",
			"HTTPS": "http://HTTPS///" + tls.Addr() + "/debian",
		}
	}
	client := func(t *testing.T, b *box.Box, form string) *aptest.Client {
		c := s.client(t)
		c.Proxy("DIRECT")
		if form == "HTTPS" {
			c.Proxy(b.URL)
		}
		uri := forms(b)[form]
		c.Sources("deb "+uri+" stable main", "deb-src "+uri+" stable main")
		return c
	}
	for form := range forms(with) {
		t.Run(form, func(t *testing.T) {
			c := client(t, without, form)
			machine := without.URL
			if form == "HTTPS" {
				machine = "http://HTTPS"
			}
			authConf(t, c, machine, "alice")
			wantRefused(t, c, "401", "wants a login", "MILLPOND_AUTH_FILE")
			everything(t, client(t, with, form))
			s.mirror.ResetLog()
			tls.ResetLog()
			everything(t, client(t, with, form))
			for _, r := range append(s.mirror.Log(), tls.Log()...) {
				if filepath.Base(r.Path) != "InRelease" {
					t.Errorf("the second client made the box ask for %s", r.Path)
				}
			}
		})
	}
	for _, r := range s.mirror.Log() {
		if r.Authorization != "" && r.Authorization != login("alice") {
			t.Errorf("%s with another login", r.Path)
		}
	}
	wantNoSecrets(t, with)
	wantNoSecrets(t, without)
}
