package apt

import (
	"slices"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// TestShapesOfAnAllowedHost downloads data as packages do, from a host that may
// be asked for anything and sends to another one.
func TestShapesOfAnAllowedHost(t *testing.T) {
	b := builder{t, t, ""}
	p := asked(b, "/corefonts/andale32.exe", "a font\n")
	other := b.mirror(aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	other.Put("/cdn/andale32.exe", []byte("a font\n"), time.Now())
	p.mirrors[0].Inject("*", aptest.Redirect(other.URL("/cdn/andale32.exe")))
	p.mirrors = append(p.mirrors, other)

	s := &shapes{t: t, settings: shapeSettings(t), rows: map[string]*row{}}
	r := s.row("data of a host that may be asked for anything")
	r.place = p
	r.direct = p.newVisit(t, t, direct, nil).all()
	if why, failed := r.direct.failed(); failed {
		t.Fatalf("direct: %s", why)
	}
	r.cells["direct"], r.cells["proxy form"] = "ok", "**the box does not start**"
	defer func() { t.Log(r) }()
	for i, setting := range s.settings {
		if setting == allowLoopback {
			s.settings[i] = setting + "," + p.mirrors[0].Addr() + "/*"
		}
	}
	s.first = box.Start(t, slices.Clone(s.settings)...)
	s.compare(t, r, "proxy form", p.newVisit(t, t, byProxy, s.first).all(), r.direct)
	s.compare(t, r, "path form", p.newVisit(t, t, byPath, s.first).all(), r.direct)
	s.again(t, r, "second client", s.first)
}
