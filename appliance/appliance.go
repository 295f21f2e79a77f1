package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"

	"millpond/internal/carry"
	"millpond/internal/catalog"
	"millpond/internal/clients"
	"millpond/internal/dashboard"
	"millpond/internal/fetch"
	"millpond/internal/follow"
	"millpond/internal/front"
	"millpond/internal/jobs"
	"millpond/internal/keep"
	"millpond/internal/keyring"
	"millpond/internal/kv"
	"millpond/internal/lag"
	"millpond/internal/ledger"
	"millpond/internal/logs"
	"millpond/internal/mirror"
	"millpond/internal/prefetch"
	"millpond/internal/proxy"
	"millpond/internal/rings"
	"millpond/internal/siteledger"
	"millpond/internal/store"
	"millpond/internal/swarm"
	"millpond/internal/verify"
)

// Appliance is a box: all parts, connected. New builds it from the lowest floor
// up, Run serves, and what New opened is closed in reverse order when Run
// returns.
type Appliance struct {
	log    *slog.Logger
	events *dashboard.Events // the warnings and errors among what log receives
	limit  *logs.Limiter     // what log leaves out
	lag    *lag.Meter
	config Config
	files  descriptors
	via    string // identifies this box in Via headers, so that it detects request loops

	keys      *keyring.Keyring
	db        *kv.DB
	ledger    *ledger.Ledger
	notes     *clients.Notes
	wishes    *carry.Wishes
	store     *store.Store
	catalog   *catalog.Catalog
	policy    *mirror.Policy
	mirror    *mirror.Client
	swarm     *swarm.Swarm // nil if it is switched off
	fetch     *fetch.Fetcher
	follow    *follow.Follower
	prefetch  *prefetch.Prefetcher
	rings     *rings.Rings
	accessLog *logs.Access // nil without one
	keep      *keep.Keeper
	verifier  *verify.Verifier
	carrier   *carry.Service
	site      *siteledger.Site
	proxy     *proxy.Proxy
	dashboard *dashboard.Dashboard

	jobs    jobs.Running
	lists   hostLists
	names   nameCheck
	leaving leaving
	clients []net.Listener // where clients are served
	servers []server       // in shutdown order
	closers []func() error // in the order of opening
}

// server is an HTTP server with its open listener.
type server struct {
	*http.Server
	listener net.Listener
}

// New opens everything that a box needs, including its ports, so that a faulty
// environment is an error here instead of a box that is half started. The error
// names the setting and the cure. Run must be called.
func New(c Config, log *slog.Logger) (*Appliance, error) {
	a := newAppliance(c, log)
	if err := a.open(a.openAccessLog, a.openData, a.openNetwork, a.openFaces); err != nil {
		return nil, err
	}
	return a, nil
}

// newAppliance returns one that has opened nothing.
func newAppliance(c Config, log *slog.Logger) *Appliance {
	a := &Appliance{
		events: newEvents(c.Privacy), limit: logs.NewLimiter(log.Handler()), lag: lag.New(),
		config: c, files: divide(descriptorLimit()), via: "millpond-" + rand.Text()[:8],
		leaving: leaving{began: make(chan struct{})},
	}
	a.lists = hostLists{use: a.useLists, config: c}
	lines := a.events.Handler(a.limit)
	if c.Privacy.NoPackagesPerClient {
		lines = logs.Unlink(lines)
	}
	a.log = slog.New(logs.Redact(lines))
	a.lists.log = a.log
	return a
}

// open opens parts in order. If one fails, it closes those before.
func (a *Appliance) open(parts ...func() error) error {
	for _, open := range parts {
		if err := open(); err != nil {
			return errors.Join(err, a.close())
		}
	}
	return nil
}

// opened registers closer for close.
func (a *Appliance) opened(closer func() error) { a.closers = append(a.closers, closer) }

// close undoes New in reverse order.
func (a *Appliance) close() error {
	var errs []error
	for len(a.closers) > 0 {
		last := len(a.closers) - 1
		errs = append(errs, a.unlessFull(a.closers[last]()))
		a.closers = a.closers[:last]
	}
	return errors.Join(errs...)
}

// unlessFull logs err and returns nil if a full disk is all that is wrong: the box stops
// in order then, and loses what it could not write.
func (a *Appliance) unlessFull(err error) error {
	if errors.Is(err, kv.ErrRefused) || errors.Is(err, syscall.ENOSPC) {
		a.log.Warn("stopping on a full disk, the last changes are lost", "err", err)
		return nil
	}
	return err
}

// openData opens floors 0 and 1: what the box knows and holds.
func (a *Appliance) openData() error {
	if err := a.loadKeys(); err != nil {
		return fmt.Errorf("MILLPOND_KEYRING_DIR: %w", err)
	}
	if err := a.openParts(); err != nil {
		return dataFault(a.config.DataDir, err)
	}
	return nil
}

// loadKeys reads the archive keys. A key file that cannot be read is logged and
// skipped: it must not stop apt for the whole site.
func (a *Appliance) loadKeys() error {
	dirs := a.config.KeyringDir
	if len(dirs) == 0 {
		dirs = keyring.DefaultDirs
	}
	keys, bad, err := keyring.Load(dirs...)
	if err != nil {
		return err
	}
	a.keys = keys
	for _, err := range bad {
		a.log.Warn("archive key skipped", "err", err)
	}
	if keys.Len() == 0 {
		a.log.Warn("no archive keys: nothing counts as signed (MILLPOND_KEYRING_DIR)", "dirs", dirs)
	}
	return nil
}

// watchKeys keeps the archive keys in step with their files.
func (a *Appliance) watchKeys(ctx context.Context) error {
	return a.keys.Watch(ctx, a.log.With("part", "keyring"), a.fetch.KeysChanged)
}

// catalogShare is the part of the cache that the catalog may take for itself. In
// a large one it takes less.
const catalogShare = 4

// openDataDir opens what is in the data directory.
func (a *Appliance) openDataDir() (err error) {
	dir := a.config.DataDir
	if err := checkFormat(dir); err != nil {
		return err
	}
	if err := checkDataDir(dir, a.log); err != nil {
		return err
	}
	if a.db, err = openDatabase(dir, a.log.With("part", "kv")); err != nil {
		return err
	}
	a.opened(a.db.Close)
	if err := numberFormat(dir); err != nil {
		// On a full disk, for one. The next start tries again.
		a.log.Warn("the format of the data directory was not noted", "err", err)
	}
	if a.ledger, err = ledger.Open(a.db.Table("ledger"), a.db.Table("daily")); err != nil {
		return err
	}
	if err = a.openNotes(); err != nil {
		return err
	}
	a.opened(a.notes.Flush)
	if err = a.restrictLedger(); err != nil {
		return err
	}
	if err = a.openEvents(); err != nil {
		return err
	}
	// Downloads receive bytes from mirrors until fetch is closed, which is after
	// the ledger's Run has ended. Without this flush those bytes would not count.
	a.opened(a.ledger.Flush)
	a.store, err = store.Open(store.Options{
		Dir: dir, Table: a.db.Table("store"), Quota: a.config.CacheSize, Beside: a.db.Size, Spare: a.db.RemoveAside, LastCopy: a.lastCopy, Damaged: a.damaged, Log: a.log.With("part", "store"),
	})
	if err != nil {
		return err
	}
	a.opened(a.store.Close)
	a.checkCacheSize()
	a.catalog, err = catalog.Open(catalog.Options{
		Table: a.db.Table("catalog"), Keyring: a.keys, TrustHosts: a.config.TrustHosts,
		Room: a.store.Usage().QuotaBytes / catalogShare, Log: a.log.With("part", "catalog"),
		ShareHost: func(l catalog.Location) bool { return a.config.share.HasURL(l.URL()) }, Private: a.isPrivate,
		Holds: a.holds,
	})
	if err != nil {
		return err
	}
	a.wishes = carry.NewWishes(a.db.Table(carryTable), a.catalog, a.log.With("part", "carry"))
	return nil
}

// openNetwork opens floors 2 and 3: the sources of bytes.
func (a *Appliance) openNetwork() (err error) {
	if a.policy, err = a.config.policy(); err != nil {
		return err
	}
	a.policy.Allow(a.config.mirrors)
	a.policy.Through(a.config.upstream)
	a.mirror = mirror.New(mirror.Options{
		Policy: a.policy, Offline: a.config.Offline, Meter: a.taken, Answered: a.asked,
		Rates: a.config.MirrorRate, Log: a.log.With("part", "mirror"), UserAgent: "millpond/" + version, Via: a.via,
		Logins: a.config.logins, Mirrors: a.config.mirrors, Resolver: a.config.resolver, Self: a.listensAt,
	})
	a.opened(a.mirror.Close)
	a.names.check = a.mirror.CheckLookup
	o := fetch.Options{
		Store: a.store, Catalog: a.catalog, Mirror: a.mirror, Names: a.db.Table("names"), TTL: a.config.IndexTTL,
		Downloads: a.files.downloads, Lag: a.lag, Follows: a.follows, Avoided: a.avoided, Complete: a.complete, Log: a.log.With("part", "fetch"),
	}
	if a.config.Swarm {
		if err := a.openSwarm(); err != nil {
			return err
		}
		o.Swarm = a.swarm
	}
	a.fetch = fetch.New(o)
	a.opened(a.fetch.Close)
	if err := a.openSlice(); err != nil {
		return err
	}
	if err := a.openVerifier(againAhead{a.fetch}); err != nil {
		return err
	}
	a.openCarrier()
	return a.openSite()
}

// taken counts what a mirror sent.
func (a *Appliance) taken(f mirror.File, of mirror.Answer, n int64) {
	a.ledger.Taken(counted(f), n)
	a.ledger.Sent(of.Host, of.Status, n)
}

// asked counts a request to a mirror.
func (a *Appliance) asked(f mirror.File, status int) { a.ledger.Asked(counted(f), status) }

// avoided counts a request that a mirror was spared.
func (a *Appliance) avoided(l catalog.Location) {
	a.ledger.Avoided(counted(mirror.File{Host: l.Host, Path: l.Path}))
}

// counted is f as the ledger names it.
func counted(f mirror.File) ledger.File {
	return ledger.File{Host: f.Host, Package: catalog.Location{Host: f.Host, Path: f.Path}.Package()}
}

// openFaces opens floor 4, and the ports.
func (a *Appliance) openFaces() (err error) {
	for _, addr := range a.config.Listen {
		l, err := a.listen("LISTEN", addr)
		if err != nil {
			return err
		}
		a.clients = append(a.clients, l)
	}
	o, err := a.dashboardOptions()
	if err != nil {
		return err
	}
	apart := a.config.DashboardListen != ""
	if apart {
		o.ClientPort = o.Places.Port
	}
	a.dashboard = dashboard.New(o)
	local := a.dashboard.Handler()
	if apart {
		local = a.dashboard.Basics()
	}
	p := proxy.Options{
		Catalog: a.catalog, Fetcher: a.fetch, Ledger: a.ledger, Demand: a.prefetch, Notes: noteWanted{a.notes, a.wishes}, Dialer: a.mirror, Policy: a.policy, Rings: a.rings,
		Proxies: a.config.TrustedProxies, AllowClients: a.config.AllowClients, Tunnels: a.config.Tunnels.hosts,
		Hosts: a.config.names, OwnName: a.isOwnName,
		Local: local, Repeats: a.files.repeats, Via: a.via, Measured: a.dashboard.Measured,
		Log: a.log.With("part", "proxy"),
	}
	if a.accessLog != nil {
		p.AccessLog = a.accessLog
	}
	a.proxy = proxy.New(p)
	clients := a.proxy.Server()
	clients.RegisterOnShutdown(a.dashboard.EndStreams)
	opening := a.frontOptions(false, a.files.clients)
	if !a.config.names.IsEmpty() || a.config.listFileOf("HOSTS") != nil {
		opening.Through = a.proxy
	}
	for _, l := range a.clients {
		a.servers = append(a.servers, server{clients, a.proxy.Listener(front.Listener(l, opening))})
	}
	if apart {
		l, err := a.listen("DASHBOARD_LISTEN", a.config.DashboardListen)
		if err != nil {
			return err
		}
		page := a.dashboard.Server()
		page.Handler = a.config.TrustedProxies.Handler(page.Handler)
		a.servers = append(a.servers, server{page, front.Listener(l, a.frontOptions(true, a.files.dashboard))})
	}
	return nil
}

// listen opens the port that a setting names.
func (a *Appliance) listen(name, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s%s=%s: %w; stop what uses that port, or name an address of this machine and a free port", prefix, name, addr, err)
	}
	a.opened(func() error {
		// Its server has closed it already, if there was one.
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

// frontOptions are for listeners that have so many connections at once, all together. In
// HTTP/2 the box has no tunnels, so that its clients' ports do without.
func (a *Appliance) frontOptions(http2 bool, connections int) front.Options {
	return front.Options{
		Proxies: a.config.TrustedProxies, Certificate: a.config.certificate, HTTP2: http2,
		Shares: front.NewShares(connections), Log: a.log.With("part", "front"),
	}
}

// watchCertificate keeps the certificate in step with its files.
func (a *Appliance) watchCertificate(ctx context.Context) error {
	if a.config.certificate == nil {
		return nil
	}
	return a.config.certificate.Watch(ctx, a.log.With("part", "front"))
}

// Addr is the first address that clients are served on.
func (a *Appliance) Addr() net.Addr { return a.clients[0].Addr() }
