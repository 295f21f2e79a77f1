package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/proxy"
	"millpond/internal/swarm"
)

// openSwarm opens the swarm's listeners. It joins nobody before Run.
func (a *Appliance) openSwarm() (err error) {
	c := a.config
	identity := c.identityFile()
	if c.IdentityFile == "" {
		if err := a.keepIdentity(identity); err != nil {
			return err
		}
	}
	rate := c.UploadRate
	if !rate.set {
		rate.bytes = elsewhere
	}
	a.swarm, err = swarm.New(swarm.Options{
		IdentityFile: identity, Listen: c.SwarmListen, Bootstrap: c.Bootstrap, Key: c.swarmKey(), AllowPeers: c.SwarmAllowPeers,
		Announce: c.AnnounceAddrs, Mode: c.SwarmMode, Local: c.SwarmLocal, Memory: usableMemory(os.DirFS("/")), Files: a.files.swarm,
		UploadRate: rate.bytes, SiteUnlimited: !rate.set, AllowClients: proxy.Clients(c.AllowClients).Admit,
		Datastore: a.db.Datastore("swarm"), Taken: a.ledger.PeerTaken, Given: a.ledger.PeerGiven,
		Lag: a.lag, Version: version, Log: a.log.With("part", "swarm"),
	})
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("MILLPOND_SWARM_LISTEN: %w; stop what uses that port, or name a free one", err)
	case err != nil:
		return fmt.Errorf("swarm: %w", err)
	}
	a.opened(a.swarm.Close)
	if c.IdentityFile == "" {
		return a.keepIdentity(identity) // which may be new
	}
	return nil
}

// isPrivate logs that a host's archives stay here, where others would be shared.
func (a *Appliance) isPrivate(suite catalog.Location, why string) {
	if a.swarm != nil && a.swarm.Widest() < peer.Member {
		a.log.Info("private archive not shared with other boxes", "suite", suite.String(), "why", why, "setting", prefix+"SHARE_HOSTS="+suite.Host)
	}
}

// lastCopy reports whether no other box of the site has a blob that this one has.
func (a *Appliance) lastCopy(d digest.Digest) bool { return a.swarm != nil && a.swarm.LastCopy(d) }

// runSwarm takes part in the swarm until ctx ends, if it is not switched off.
func (a *Appliance) runSwarm(ctx context.Context) error {
	if a.swarm == nil {
		return nil
	}
	return a.swarm.Run(ctx, swarm.Serving{Inventory: a.fetch, Releases: a.fetch, Reporter: a.site, Busy: a.proxy.Busy})
}
