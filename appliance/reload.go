package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// reload opens files again on SIGHUP, as logrotate and `systemctl reload` expect. A box
// that has no such file and no service manager leaves the signal alone: it then ends the
// process, as when a terminal is closed.
func (a *Appliance) reload(ctx context.Context) error {
	if a.accessLog == nil && a.config.supervisor.socket == "" {
		return nil
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	a.tellSupervisor("READY=1") // not before a reload is understood
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			a.tellReloading()
			if a.accessLog != nil {
				a.log.Info("access log opened again (SIGHUP)")
				a.accessLog.Reopen()
			}
			a.tellSupervisor("READY=1")
		}
	}
}
