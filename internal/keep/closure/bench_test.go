package closure

import "testing"

// What a plan of a large suite takes: reading its stanzas, and resolving the section
// admin, over the lists of the machine. It needs the machine's apt.
func BenchmarkPlan(b *testing.B) {
	m := newMachine(b)
	b.ResetTimer()
	for b.Loop() {
		w := m.world()
		for i := range w.pkgs {
			if i%60 == 0 { // a section has some thousand
				w.pkgs[i].flags |= selected
			}
		}
		r := w.Resolve(nil)
		b.ReportMetric(float64(w.Len()), "packages")
		b.ReportMetric(float64(len(r.Files)), "files")
	}
}

func BenchmarkResolve(b *testing.B) {
	w := newMachine(b).world()
	for i := range w.pkgs {
		if i%60 == 0 {
			w.pkgs[i].flags |= selected
		}
	}
	b.ResetTimer()
	for b.Loop() {
		b.ReportMetric(float64(len(w.Resolve(nil).Files)), "files")
	}
}
