package main

import (
	"cmp"
	"net"
	"net/netip"

	"millpond/internal/siteledger"
	"millpond/internal/swarm"
)

// openSite opens the figures of all boxes together.
func (a *Appliance) openSite() (err error) {
	secret, err := siteSecret(a.config)
	if err != nil {
		return err
	}
	p := a.config.Privacy
	o := siteledger.Options{
		Table: a.db.Table("site"), Ledger: a.ledger, Secret: secret, Version: version,
		Holdings: a.holdings, InUse: func() []siteledger.Suite { return a.dashboard.InUse() }, Faults: a.faults,
		ServedAt: a.servedAt,
		Privacy: siteledger.Privacy{
			NoClients: p.NoClients, NoNames: p.NoClientNames, Keep: keepOf(p),
			LocalsMayLook: len(a.config.access.Ranges) == 0 && a.config.access.Token == "",
		},
		Log: a.log.With("part", "site"),
	}
	if a.swarm != nil {
		o.Swarm, o.ID = a.swarm, a.swarm.Identity().ID
	}
	a.site, err = siteledger.Open(o)
	return err
}

// servedAt is where clients reach this box, for those of other boxes of the site.
func (a *Appliance) servedAt() netip.AddrPort {
	bound := a.Addr().(*net.TCPAddr).AddrPort()
	at := swarm.ClientsAt(a.config.AnnounceAddrs)
	if !at.IsValid() {
		at = netip.AddrPortFrom(bound.Addr().Unmap(), 0)
	}
	return netip.AddrPortFrom(at.Addr().WithZone(""), cmp.Or(at.Port(), bound.Port()))
}

// siteSecret is the key to the hashes of clients. Without a swarm nobody else sees these.
func siteSecret(c Config) ([]byte, error) { return swarm.Secret(c.swarmKey(), "clients") }

// holdings are the figures of the moment that the box tells others.
func (a *Appliance) holdings() siteledger.Holdings {
	u := a.store.Usage()
	return siteledger.Holdings{Blobs: u.Blobs, BlobBytes: u.Bytes, QuotaBytes: u.QuotaBytes, Downloads: int64(a.fetch.Stats().Running)}
}
