package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// watchdogShare is the part of the watchdog's time after which the box asks itself
// whether it answers, and that it has for the answer. systemd waits for the whole time,
// so that two questions may fail.
const watchdogShare = 4

// supervisor is the service manager that started the box and wants to be told when it
// serves, reads files again, stops, and that it is alive: the protocol of sd_notify(3).
type supervisor struct {
	socket   string        // a datagram socket; "": nobody wants to be told
	watchdog time.Duration // the box is restarted when it gives no sign for so long; 0: never
}

// supervisorOf reads what the service manager put into the environment.
func supervisorOf(vars map[string]string) (s supervisor, err error) {
	s.socket = vars["NOTIFY_SOCKET"]
	limit := vars["WATCHDOG_USEC"]
	if pid := vars["WATCHDOG_PID"]; s.socket == "" || limit == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return s, nil
	}
	usec, err := strconv.ParseInt(limit, 10, 64)
	if err != nil || usec < watchdogShare || usec > int64(24*time.Hour/time.Microsecond) {
		return s, fmt.Errorf("WATCHDOG_USEC=%.40q: it takes microseconds, a day at most; systemd sets it from WatchdogSec", limit)
	}
	s.watchdog = time.Duration(usec) * time.Microsecond
	return s, nil
}

// tell sends lines of NAME=VALUE.
func (s supervisor) tell(state string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}

// tellSupervisor says how far the box is, to whom that matters.
func (a *Appliance) tellSupervisor(state string) {
	s := a.config.supervisor
	if s.socket == "" {
		return
	}
	if err := s.tell(state); err != nil {
		a.log.Warn("the service manager was not told, and may take the box for dead (NOTIFY_SOCKET)", "state", state, "err", err)
	}
}

// tellReloading begins a reload, which ends when the supervisor is told that the box is
// ready. systemd compares the time with that of its own request.
func (a *Appliance) tellReloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		a.log.Warn("no monotonic clock", "err", err)
		return
	}
	a.tellSupervisor(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// watchdog gives the supervisor signs of life while the clients' port answers, until ctx
// ends. It asks for /healthz, which no slow disk or mirror delays: a restart cures neither.
func (a *Appliance) watchdog(ctx context.Context) error {
	limit := a.config.supervisor.watchdog
	if limit == 0 {
		return nil
	}
	return every(ctx, limit/watchdogShare, func() {
		if err := a.answersItself(ctx, limit/watchdogShare); err == nil {
			a.tellSupervisor("WATCHDOG=1")
		} else if ctx.Err() == nil {
			a.log.Warn("the box does not answer itself, and is restarted if that goes on", "after", limit, "err", err)
		}
	})
}

// answersItself sends a request to the clients' port, as a client on this machine would.
func (a *Appliance) answersItself(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	resp, err := boxAddr{listen: a.Addr().String(), name: "LISTEN"}.ask(ctx, http.MethodGet, "/healthz", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz answers %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxReadiness))
	return err
}
