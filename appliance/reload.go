package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// reload opens the access log and reads the lists of hosts again on SIGHUP, as logrotate
// and `systemctl reload` expect; certificate and keys are watched, and need no signal. A box
// that has no such file and no service manager leaves the signal alone: it then ends the
// process, as when a terminal is closed.
func (a *Appliance) reload(ctx context.Context, hangups chan os.Signal) error {
	if hangups == nil {
		return nil
	}
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
			a.lists.look(true)
			a.tellSupervisor("READY=1")
		}
	}
}

// hangups receives SIGHUP, before the box serves. It is nil if the signal is left alone.
func (a *Appliance) hangups() chan os.Signal {
	if a.accessLog == nil && len(a.config.lists) == 0 && a.config.supervisor.socket == "" {
		return nil
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}
