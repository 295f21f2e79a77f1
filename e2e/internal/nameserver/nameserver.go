// Package nameserver is a DNS server for tests that have a site, or the world outside
// of it, say where names lead.
package nameserver

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone is all that a server knows. Other names do not exist.
type Zone struct {
	Addresses map[string]string // an IPv4 or IPv6 address by name: "archive.example.org"
	Services  map[string]string // the host at port 80 by name: "_http._tcp.archive.example.org"
}

// Serve answers at port 53 of an address until the test ends.
func Serve(tb testing.TB, at string, zone Zone) {
	tb.Helper()
	l, err := net.ListenPacket("udp", net.JoinHostPort(at, "53"))
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- zone.serve(l) }()
	tb.Cleanup(func() {
		l.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			tb.Error(err)
		}
	})
}

func (z Zone) serve(l net.PacketConn) error {
	for b := make([]byte, 2048); ; {
		n, from, err := l.ReadFrom(b)
		if err != nil {
			return err
		}
		// What is no question is left without an answer.
		if answer, err := z.answer(b[:n]); err == nil {
			if _, err := l.WriteTo(answer, from); err != nil {
				return err
			}
		}
	}
}

func (z Zone) answer(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	address, hasAddress := z.Addresses[name]
	service, hasService := z.Services[name]
	answer := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	var body dnsmessage.ResourceBody
	switch {
	case !hasAddress && !hasService:
		answer.RCode = dnsmessage.RCodeNameError
	case hasAddress:
		ip, err := netip.ParseAddr(address)
		if err != nil {
			return nil, err
		}
		switch {
		case ip.Is4() && question.Type == dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: ip.As4()}
		case ip.Is6() && question.Type == dnsmessage.TypeAAAA:
			body = &dnsmessage.AAAAResource{AAAA: ip.As16()}
		}
	case hasService && question.Type == dnsmessage.TypeSRV:
		target, err := dnsmessage.NewName(service + ".")
		if err != nil {
			return nil, err
		}
		body = &dnsmessage.SRVResource{Port: 80, Target: target}
	}
	if body != nil {
		resource := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class}
		answer.Answers = []dnsmessage.Resource{{Header: resource, Body: body}}
	}
	return answer.Pack()
}
