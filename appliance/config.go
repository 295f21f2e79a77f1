package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caarlos0/env/v11"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/dashboard"
	"millpond/internal/follow"
	"millpond/internal/front"
	"millpond/internal/keep"
	"millpond/internal/mirror"
	"millpond/internal/rings"
	"millpond/internal/store"
	"millpond/internal/swarm"
)

// prefix begins the name of every variable that millpond reads.
const prefix = "MILLPOND_"

// Config is every setting. The tags are its documentation: `millpond help`
// prints them and a test holds the manual to them.
type Config struct {
	Listen          []string          `env:"LISTEN" envDefault:":3142" takes:"host:port, comma-separated" help:"addresses that serve clients, dashboard, API and metrics; the box calls itself by the first one. With MILLPOND_HOSTS, add :80 and, for https sources, :443"`
	Hosts           []string          `env:"HOSTS" takes:"default, or names or *.domain, comma-separated" file:"list" help:"archives whose names the site's DNS leads to the box, so that clients need no setting: requests under these names are served as the archive's, and TLS with them is passed on to it as in a tunnel (MILLPOND_TUNNELS). default stands for the domains of Debian, Ubuntu and their derivatives; by default there are none. Set MILLPOND_RESOLVER, too"`
	Resolver        []string          `env:"RESOLVER" takes:"addresses of DNS servers, each with a port if it is not 53, comma-separated" help:"DNS servers that the box asks for the addresses of mirrors, the first that answers; by default those of this machine. With MILLPOND_HOSTS they are some that do not lead the archives' names to the box"`
	DashboardListen string            `env:"DASHBOARD_LISTEN" takes:"host:port" help:"address that serves dashboard, API and metrics instead, if set"`
	DashboardAccess []string          `env:"DASHBOARD_ACCESS" takes:"names, *.domain, addresses or ranges, and token:WORD, comma-separated" secret:"true" help:"public names under which dashboard, API and metrics may be opened; from which addresses, by default all that may use the port; and a token to ask for, as a password with any user name or a bearer token"`
	DataDir         string            `env:"DATA_DIR" envDefault:"data" takes:"directory" help:"blobs and database; on a local disk"`
	CacheSize       store.Quota       `env:"CACHE_SIZE" envDefault:"50%" takes:"bytes with unit (200GB, 1.5TiB; 64MB at least) or percent of the disk" help:"how much the box keeps; superseded files are evicted first, then those requested least"`
	IndexTTL        time.Duration     `env:"INDEX_TTL" envDefault:"1m" takes:"duration up to 24h (30s, 5m)" help:"how long a Release file is served before the mirror is asked again"`
	KeyringDir      []string          `env:"KEYRING_DIR" takes:"directories, comma-separated" help:"archive keys; by default the distribution's own directories"`
	TrustHosts      []string          `env:"TRUST_HOSTS" takes:"hosts, comma-separated" help:"archives that count as signed although no key is known for them"`
	AllowClients    []netip.Prefix    `env:"ALLOW_CLIENTS" takes:"addresses or ranges, comma-separated" help:"who may use the box, other boxes near it included; by default private and loopback addresses"`
	TLSCert         []string          `env:"TLS_CERT" takes:"files in PEM, comma-separated: certificate with its chain, and key; or one file with both" help:"TLS for clients and browsers that want it, on the same ports as plain HTTP; a change of the files counts at once"`
	TrustedProxies  front.Proxies     `env:"TRUSTED_PROXIES" takes:"addresses or ranges, comma-separated" help:"load balancers, ingresses and the like that pass clients on and say whose a connection or request is, by PROXY protocol, Forwarded or X-Forwarded-For; of others that is ignored"`
	AllowUpstreams  []string          `env:"ALLOW_UPSTREAMS" takes:"host, host:port, range or host/*, comma-separated" file:"list" help:"destinations that are refused by default: private addresses, ports other than 80 and 443; a host with /* may be asked for anything, not for archives only"`
	OnlyArchives    []string          `env:"ONLY_ARCHIVES" takes:"host, host/directory or *.domain, with a port if it matters, comma-separated" file:"list" help:"the only archives whose files are served and fetched; by default all. Tunnels have MILLPOND_TUNNELS"`
	Mirrors         []string          `env:"MIRRORS" takes:"archive=mirror, both URLs of directories, further mirrors each after a vertical bar; archives comma-separated" help:"mirrors from which the files of an archive are downloaded: the URL that clients use, then those of its mirrors, which may include it; the fastest one is asked first, another one where it fails"`
	Follow          []follow.Entry    `env:"FOLLOW" takes:"URL SUITES COMPONENTS ARCHITECTURES, the last three comma-separated, then depth=indices, used or all, or what selects packages (section:NAME, priority:NAME, package:NAME, list:/FILE), and dated=URL; entries separated by semicolons or line ends" help:"suites that are kept up to date although no client uses them, as in http://archive.example.org/debian bookworm main amd64,source; source stands for Sources, and a flat repository has the suite ./ and no components. Suites that clients use are followed without it. The depth says what is fetched before clients ask: indices, new versions of what they use (the default), or all; dated is the archive as it was, below a directory for each time, such as http://snapshot.example.org/archive/debian"`
	UpstreamProxy   string            `env:"UPSTREAM_PROXY" takes:"http://host:port or https://host:port, with user:password@ before the host for a login" secret:"true" help:"HTTP proxy through which mirrors are reached; HTTP_PROXY and its like are ignored"`
	UpstreamExcept  []string          `env:"UPSTREAM_PROXY_EXCEPT" takes:"host, host:port, *.domain or range, comma-separated" help:"mirrors that are reached directly all the same; a range matches those whose URL has an address"`
	AuthFile        string            `env:"AUTH_FILE" takes:"file in the format of apt's auth.conf" help:"logins for archives that want one; all clients of the box get what they open"`
	MirrorRate      mirror.Rates      `env:"MIRROR_RATE" takes:"bytes per second with unit, alone or with the hours of the day that it is for (20MB/s@08-18,5MB/s@18-22), comma-separated" help:"limit on downloads from all mirrors together, by hours of local time (TZ); at other hours the rate without hours counts, and without one there is no limit. Tunnels are not limited"`
	Prefetch        dailyBytes        `env:"PREFETCH" envDefault:"10GB" takes:"bytes a day with unit (20GB), or 0 or no for none" help:"how much the box takes in a day, from mirrors and other boxes together, to have new versions of the packages that its clients use before they ask; what a day does not use may be used within a week"`
	Tunnels         tunnels           `env:"TUNNELS" envDefault:"true" takes:"true, false, or host, host:port or *.domain, comma-separated" file:"list" help:"where CONNECT may open tunnels to https archives; nothing in them can be cached"`
	Offline         bool              `env:"OFFLINE" envDefault:"false" takes:"true or false, yes or no, on or off" help:"contact no mirror, serve only what is held"`
	Swarm           bool              `env:"SWARM" envDefault:"true" takes:"true or false, yes or no, on or off" help:"whether the box downloads from other boxes and uploads to them"`
	SwarmListen     []string          `env:"SWARM_LISTEN" envDefault:"/ip4/0.0.0.0/tcp/4001,/ip6/::/tcp/4001" takes:"multiaddrs, comma-separated" help:"where other boxes connect; a swarm without a key can add /ip4/0.0.0.0/udp/4001/quic-v1"`
	SwarmKey        string            `env:"SWARM_KEY" takes:"64 hexadecimal digits, as millpond swarm-key or openssl rand -hex 32 prints them" secret:"lines" help:"the key of a private swarm, the same on all its boxes; without one the swarm is open"`
	SwarmAllowPeers []string          `env:"SWARM_ALLOW_PEERS" takes:"peer IDs, comma-separated" help:"boxes that may connect; by default all boxes of the swarm"`
	ShareHosts      []string          `env:"SHARE_HOSTS" takes:"host, host:port, *.domain or range, comma-separated" help:"hosts whose private archives are shared with all boxes of the swarm. Private are those at a private address or another port than 80 and 443, in MILLPOND_ALLOW_UPSTREAMS, behind MILLPOND_UPSTREAM_PROXY or behind a login. By default only members get them, and nobody gets what is behind a login; a range matches hosts whose URL has an address"`
	SwarmMode       swarm.Mode        `env:"SWARM_MODE" envDefault:"auto" takes:"auto, server or client" help:"role in the DHT; client is for a box that no other can dial"`
	SwarmLocal      bool              `env:"SWARM_LOCAL" envDefault:"true" takes:"true or false, yes or no, on or off" help:"whether boxes on the network segment find each other by mDNS"`
	Bootstrap       []string          `env:"BOOTSTRAP" takes:"multiaddrs, DNS names, http:// addresses of boxes, comma-separated" help:"boxes to connect to, in addition to those on the network segment"`
	AnnounceAddrs   []string          `env:"ANNOUNCE_ADDRS" takes:"multiaddrs, comma-separated" help:"addresses to give to other boxes instead of its own, for example behind port forwarding; one with /http at its end is where clients reach the box"`
	IdentityFile    string            `env:"IDENTITY_FILE" takes:"file" help:"the box's private key in the swarm; by default DATA_DIR/identity.key, created at the first start"`
	UploadRate      uploadRate        `env:"UPLOAD_RATE" takes:"bytes per second with unit (20MB/s), or 0 for no limit" help:"limit on uploads to all other boxes together; by default 4MB to boxes elsewhere and none within the site"`
	Rings           rings.Definitions `env:"RINGS" takes:"rings separated by semicolons, each a name, then after=RING, delay=3d, security=now and clients=RANGES as needed" help:"rings: clients that get a suite's updates later than others, at http://BOX/ring/NAME/archive.example.org/debian or by their addresses: what the ring after which they come has had for the delay, suites whose name says security at once"`
	AdminToken      string            `env:"ADMIN_TOKEN" takes:"a random word of at least 16 characters" secret:"true" help:"required for admin actions on the dashboard; without one they are off"`
	Privacy         api.Privacy       `env:"PRIVACY" takes:"no-client-names, no-packages-per-client, no-clients, days=N, comma-separated" help:"what is not kept about clients: their names; which packages each requested; their addresses and all else; anything older than N days. What an earlier run kept is removed at the start"`
	LogLevel        logLevel          `env:"LOG_LEVEL" envDefault:"info" takes:"debug, info, warn or error" help:"how much is logged"`
	AccessLog       accessLog         `env:"ACCESS_LOG" takes:"- for standard output, or the absolute path of a file" help:"where a line of JSON goes for each request of a client, and each tunnel; by default nowhere. A file is opened again on SIGHUP, for logrotate; without that it is begun anew at 1 GiB, and the one before kept"`
	LogFormat       logFormat         `env:"LOG_FORMAT" envDefault:"text" takes:"text or json" help:"what a line of the log is: words and key=value, or an object"`

	access   dashboard.Access  // DashboardAccess
	logins   mirror.Logins     // those of AuthFile
	mirrors  mirror.Mirrors    // those of Mirrors
	upstream mirror.Upstream   // UpstreamProxy without UpstreamExcept
	share    mirror.Hosts      // ShareHosts
	names    mirror.Hosts      // Hosts
	resolver mirror.Resolver   // Resolver
	lists    []*listFile       // with hosts
	kept     []keep.Slice      // of which suites packages are held complete
	given    map[string]string // variables as they were set

	certificate *front.Certificate // that of TLSCert; nil without
	supervisor  supervisor         // that started the process
	stdout      io.Writer          // for AccessLog; nil: os.Stdout
	box         *url.URL           // that a command asks; nil: the one on this machine
}

// parseConfig reads the settings from an environment. The error names every
// invalid setting at once: variable, value and what it takes. An empty variable
// counts as not set, since compose files and charts pass it for "default".
func parseConfig(environ []string) (Config, error) {
	vars := env.ToMap(environ)
	maps.DeleteFunc(vars, func(_, value string) bool { return value == "" })
	f := faults{vars: vars}
	f.unknown()
	f.readSecrets()
	lists := f.readLists()
	delete(vars, prefix) // the parser would read it as a field of Quota
	var c Config
	err := env.ParseWithOptions(&c, env.Options{
		Prefix:      prefix,
		Environment: vars,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[uploadRate]():        func(s string) (any, error) { return parseUploadRate(s) },
			reflect.TypeFor[mirror.Rates]():      func(s string) (any, error) { return parseMirrorRate(s) },
			reflect.TypeFor[dailyBytes]():        func(s string) (any, error) { return parseDailyBytes(s) },
			reflect.TypeFor[tunnels]():           func(s string) (any, error) { return parseTunnels(s) },
			reflect.TypeFor[swarm.Mode]():        func(s string) (any, error) { return parseMode(s) },
			reflect.TypeFor[store.Quota]():       func(s string) (any, error) { return parseCacheSize(s) },
			reflect.TypeFor[accessLog]():         func(s string) (any, error) { return parseAccessLog(s) },
			reflect.TypeFor[bool]():              func(s string) (any, error) { return parseBool(s) },
			reflect.TypeFor[time.Duration]():     func(s string) (any, error) { return parseTTL(s) },
			reflect.TypeFor[[]string]():          func(s string) (any, error) { return parseList(s), nil },
			reflect.TypeFor[[]netip.Prefix]():    func(s string) (any, error) { return parseClients(s) },
			reflect.TypeFor[api.Privacy]():       func(s string) (any, error) { return parsePrivacy(s) },
			reflect.TypeFor[front.Proxies]():     func(s string) (any, error) { return parseProxies(s) },
			reflect.TypeFor[rings.Definitions](): func(s string) (any, error) { return rings.Parse(s) },
			reflect.TypeFor[[]follow.Entry]():    func(s string) (any, error) { return follow.Parse(s) },
		},
	})
	f.parsing(err)
	c.given, c.lists = vars, lists
	if c.supervisor, err = supervisorOf(vars); err != nil {
		f.all = append(f.all, err)
	}
	c.check(&f)
	slices.SortFunc(f.all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return c, errors.Join(f.all...)
}

// parseList reads comma-separated values. Blanks around a value and empty values
// are ignored.
func parseList(s string) []string {
	var all []string
	for value := range strings.SplitSeq(s, ",") {
		if value = strings.TrimSpace(value); value != "" {
			all = append(all, value)
		}
	}
	return all
}

// parseClients reads who may use the box.
func parseClients(s string) ([]netip.Prefix, error) {
	all, err := parsePrefixes(s)
	if err == nil && len(all) == 0 {
		err = errors.New("an empty list would shut out everybody")
	}
	return all, err
}

// parseProxies reads who is believed about whose a request is.
func parseProxies(s string) (front.Proxies, error) {
	all, err := parsePrefixes(s)
	for _, p := range all {
		if p.Bits() == 0 {
			return nil, fmt.Errorf("%v would let everybody pass for anyone", p)
		}
	}
	return all, err
}

// parsePrefixes reads ranges and single addresses.
func parsePrefixes(s string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, value := range parseList(s) {
		p, err := parsePrefix(value)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", value, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, errors.New("neither an address nor a range such as 10.0.0.0/8 or fd00::/8")
	case p.Addr().Is4In6():
		return p, errors.New("a range of IPv4 addresses in IPv6 form; write it as IPv4")
	case p != p.Masked():
		return p, fmt.Errorf("an address within a range; the range is %v", p.Masked())
	}
	return p, nil
}

// check finds invalid settings beyond what parsing finds.
func (c *Config) check(f *faults) {
	f.add("LISTEN", checkListens(c.Listen))
	f.add("ADMIN_TOKEN", checkToken(c.AdminToken))
	if c.DashboardListen != "" {
		f.add("DASHBOARD_LISTEN", checkListen(c.DashboardListen))
	}
	var err error
	c.access, err = parseAccess(c.DashboardAccess)
	f.add("DASHBOARD_ACCESS", err)
	if c.IndexTTL < 0 || c.IndexTTL > 24*time.Hour {
		f.add("INDEX_TTL", errors.New("not between 0 and 24h"))
	}
	for _, dir := range c.KeyringDir {
		f.add("KEYRING_DIR", checkDir(dir))
	}
	for _, host := range c.TrustHosts {
		if _, err := catalog.ParseLocation("http", host, "/dists"); err != nil {
			f.add("TRUST_HOSTS", err)
		}
	}
	for _, upstream := range c.AllowUpstreams {
		if _, err := mirror.ParsePolicy([]string{upstream}); err != nil {
			f.add("ALLOW_UPSTREAMS", err)
		}
	}
	for _, archive := range c.OnlyArchives {
		f.add("ONLY_ARCHIVES", new(mirror.Policy).Restrict([]string{archive}))
	}
	c.mirrors, err = mirror.ParseMirrors(c.Mirrors)
	f.add("MIRRORS", err)
	c.kept, err = keptSlices(c.Follow)
	f.add("FOLLOW", err)
	c.checkUpstream(f)
	if c.AuthFile != "" {
		c.logins, err = readLogins(c.AuthFile)
		f.add("AUTH_FILE", err)
	}
	f.add("ACCESS_LOG", c.AccessLog.check(c.DataDir))
	if len(c.TLSCert) > 0 {
		c.certificate, err = front.LoadCertificate(c.TLSCert...)
		f.add("TLS_CERT", err)
	}
	c.checkSwarm(f)
}

// checkUpstream is check for names and the upstream proxy.
func (c *Config) checkUpstream(f *faults) {
	var err error
	c.upstream, err = mirror.ParseUpstream(c.UpstreamProxy)
	f.add("UPSTREAM_PROXY", err)
	c.names, err = parseNames(c.Hosts)
	f.add("HOSTS", err)
	c.resolver, err = mirror.ParseResolver(c.Resolver)
	f.add("RESOLVER", err)
	for _, host := range c.UpstreamExcept {
		f.add("UPSTREAM_PROXY_EXCEPT", c.upstream.Except([]string{host}))
	}
}

// checkSwarm is check for the swarm's settings.
func (c *Config) checkSwarm(f *faults) {
	for _, s := range []struct {
		name   string
		values []string
		check  func(string) error
	}{
		{"SWARM_LISTEN", c.SwarmListen, swarm.CheckAddr},
		{"ANNOUNCE_ADDRS", c.AnnounceAddrs, swarm.CheckAnnounce},
		{"SWARM_ALLOW_PEERS", c.SwarmAllowPeers, swarm.CheckPeer},
		{"BOOTSTRAP", c.Bootstrap, swarm.CheckBootstrap},
		{"SHARE_HOSTS", c.ShareHosts, checkHost},
	} {
		for _, value := range s.values {
			f.add(s.name, s.check(value))
		}
	}
	c.share, _ = mirror.ParseHosts(c.ShareHosts) // checked above
	f.add("SWARM_KEY", swarm.CheckKey(c.swarmKey()))
}

// swarmKey returns the key, and nil for an open swarm.
func (c *Config) swarmKey() []byte {
	if c.SwarmKey == "" {
		return nil
	}
	return []byte(c.SwarmKey)
}

func checkHost(entry string) error {
	_, err := mirror.ParseHosts([]string{entry})
	return err
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir)
	}
	return err
}

// setting is a row of the table of settings.
type setting struct {
	Name, Default, Takes, Help string
	secret                     bool // its value is never shown
	lines                      bool // a file with the secret may have several lines
	list                       bool // of hosts, which may stand in a file
}

// inFile reports whether a file may have the value of the setting.
func (s setting) inFile() bool { return s.secret || s.list }

// settings lists all settings in the order of Config.
func settings() []setting {
	var all []setting
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if tag := t.Field(i).Tag; tag.Get("env") != "" {
			all = append(all, setting{prefix + tag.Get("env"), tag.Get("envDefault"), tag.Get("takes"), tag.Get("help"), tag.Get("secret") != "", tag.Get("secret") == "lines", tag.Get("file") == "list"})
		}
	}
	return all
}

// minAdminToken is how many characters an admin token has at least: in letters and digits, 16
// random ones cannot be guessed, however many addresses guess.
const minAdminToken = 16

func checkToken(token string) error {
	if n := utf8.RuneCountInString(token); n > 0 && n < minAdminToken {
		return fmt.Errorf("it has %d; `openssl rand -hex 16` makes a good one", n)
	}
	return nil
}
