package cluster

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/kube"
	"millpond/e2e/internal/nameserver"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

const (
	named          = "archive.example.org"
	namedNamespace = "named"
	stock          = "stock:1"
	stockArchive   = "stock.tar"
	builder        = "builder:1"
)

// stockImage is that of a distribution whose archive is archive.example.org. Its apt has
// no setting; it looks for SRV records, as where the package netbase is.
const stockImage = `
FROM ` + debian + `
RUN rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/sources.list.d/* && printf 'http 80/tcp\nhttps 443/tcp\n' >/etc/services
COPY archive.gpg /usr/share/keyrings/
RUN echo 'deb [signed-by=/usr/share/keyrings/archive.gpg] http://` + named + `/debian stable main' >/etc/apt/sources.list
`

// builderImage builds images in pods.
const builderImage = `
FROM ` + debian + `
RUN apt-get -q update && apt-get -q install -y --no-install-recommends buildah && rm -rf /var/lib/apt/lists/*
`

// builderPod has the privileges that buildah needs to mount what it builds.
const builderPod = `---
apiVersion: v1
kind: Pod
metadata: {name: builder, namespace: clients}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: buildah
    image: ` + builder + `
    imagePullPolicy: Never
    command: [sleep, infinity]
    securityContext: {privileged: true}
    volumeMounts:
    - {name: stock, mountPath: /stock.tar, readOnly: true}
    - {name: containers, mountPath: /var/lib/containers}
  volumes:
  - {name: stock, hostPath: {path: %q, type: File}}
  - {name: containers, emptyDir: {}}
`

// stockPod is a pod that nobody has told of the box.
const stockPod = `---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: clients}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: %[2]s
  containers:
  - {name: apt, image: ` + stock + `, imagePullPolicy: Never, command: [sleep, infinity]}
`

// world is what is outside of the cluster: an archive, and the DNS that has its name.
type world struct {
	key          *aptest.Key
	deb          aptest.File
	http, secure *aptest.Mirror
}

// newWorld is on this machine, the one thing that a cluster which is cut off still
// reaches.
func (s *site) newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		key:    s.archiveKey,
		http:   aptest.NewMirror(t, aptest.MirrorOptions{Listen: kube.Gateway + ":80"}),
		secure: aptest.NewMirror(t, aptest.MirrorOptions{Listen: kube.Gateway + ":443", TLS: true}),
	}
	archive := aptest.NewArchive(w.key)
	w.deb = archive.Add(aptest.Package{Name: "tool", Version: "1.0", Size: 1 << 20})
	generation := archive.Publish(time.Now().Add(-time.Hour))
	w.http.Publish("/debian", generation)
	w.secure.Publish("/debian", generation)
	nameserver.Serve(t, kube.Gateway, nameserver.Zone{
		Addresses: map[string]string{named: kube.Gateway, "mirror.example.org": kube.Gateway},
		Services:  map[string]string{"_http._tcp." + named: "mirror.example.org"},
	})
	return w
}

// byName has pods with stock images, and an image build, use a box that the cluster's DNS
// leads them to, in a cluster without a way out.
func (s *site) byName(t *testing.T) {
	w := s.newWorld(t)
	if err := s.CutOff(); err != nil {
		t.Fatal(err)
	}
	box := s.installNamed(t, w)
	var pods []string
	manifests := fmt.Sprintf(builderPod, filepath.Join(s.dir, stockArchive))
	for _, node := range s.Nodes() {
		pods = append(pods, "stock-on-"+node)
		manifests += fmt.Sprintf(stockPod, "stock-on-"+node, node)
	}
	if err := s.Apply(t.Context(), manifests); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "wait", "-n", clients, "--for=condition=Ready", "pod", "--all", "--timeout=120s")

	s.leadToBox(t)
	before := box.summary(t)
	s.everywhere(t, pods, "apt-get -q update --error-on=any; apt-get -q install -y tool; dpkg --status tool")
	size := int64(len(w.deb.Data))
	served := box.summary(t).ClientBytes - before.ClientBytes
	if served < size*int64(len(pods)) {
		t.Errorf("the box served %d bytes to %d pods that installed a package of %d", served, len(pods), size)
	}
	s.everywhere(t, []string{"builder"}, build)
	if built := box.summary(t).ClientBytes - before.ClientBytes - served; built < size {
		t.Errorf("the box served %d bytes to the build of an image with a package of %d", built, size)
	}
	if sent := w.http.BytesSent("*.deb"); sent != size {
		t.Errorf("the mirror sent %d bytes of a package of %d", sent, size)
	}
	if past := w.pastTheBox(); len(past) > 0 {
		t.Errorf("went past the box: %q", past)
	}
	t.Logf("%d pods and a build got %.2f MB, of which the mirror sent %.2f MB",
		len(pods), mb(box.summary(t).ClientBytes-before.ClientBytes), mb(box.summary(t).MirrorBytes-before.MirrorBytes))

	before = box.summary(t)
	s.everywhere(t, pods[:1], secureUpdate(w.secure.CertPEM()))
	after := box.summary(t)
	if after.TunnelBytes == before.TunnelBytes || after.ClientBytes != before.ClientBytes {
		t.Errorf("of an update by https, %d bytes went through tunnels, and the box served %d itself",
			after.TunnelBytes-before.TunnelBytes, after.ClientBytes-before.ClientBytes)
	}

	s.leadAway(t)
	s.everywhere(t, pods[:1], "apt-get -q update; cd /tmp; apt-get -q download tool")
	if len(w.pastTheBox()) == 0 {
		t.Error("without the lines in CoreDNS, apt still goes to the box")
	}
}

// installNamed installs a replica that serves the archive by its name.
func (s *site) installNamed(t *testing.T, w *world) replica {
	t.Helper()
	err := s.Apply(t.Context(), fmt.Sprintf(keyring, base64.StdEncoding.EncodeToString(w.key.Public())))
	if err != nil {
		t.Fatal(err)
	}
	s.helm(t, append([]string{"install", release, chart, "-n", namedNamespace, "--wait", "--timeout", "3m"},
		values(newer, "replicaCount=1", "byName.hosts={"+named+"}", "byName.resolvers={"+kube.Gateway+"}",
			"keyrings.configMaps={archive-key}", "settings.MILLPOND_ALLOW_UPSTREAMS="+kube.Gateway+"/32")...)...)
	return s.replicas(t, namedNamespace)[0]
}

const keyring = `
apiVersion: v1
kind: ConfigMap
metadata: {name: archive-key, namespace: ` + namedNamespace + `}
binaryData: {archive.gpg: %s}
`

// leadToBox runs the commands of the chart's notes.
func (s *site) leadToBox(t *testing.T) {
	t.Helper()
	notes := s.helm(t, "get", "notes", release, "-n", namedNamespace)
	_, commands, found := strings.Cut(notes, "\nkubectl apply ")
	commands, _, ends := strings.Cut(commands, "\n\n")
	if !found || !ends {
		t.Fatalf("the notes have no commands for CoreDNS:\n%s", notes)
	}
	s.changeDNS(t, "kubectl apply "+commands)
	box := strings.TrimSpace(s.kubectl(t, "get", "service", release, "-n", namedNamespace, "-o", "jsonpath={.spec.clusterIP}"))
	s.resolves(t, box)
}

// leadAway runs the commands of the chart's README that undo those.
func (s *site) leadAway(t *testing.T) {
	t.Helper()
	readme, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	const first = "\nkubectl --namespace kube-system patch "
	_, commands, found := strings.Cut(string(readme), first)
	commands, _, ends := strings.Cut(commands, "\n```")
	if !found || !ends {
		t.Fatal("the chart's README has no commands that take the lines from CoreDNS")
	}
	s.changeDNS(t, first+commands)
	s.resolves(t, kube.Gateway)
}

func (s *site) changeDNS(t *testing.T, commands string) {
	t.Helper()
	if out, err := s.Shell(t.Context(), commands); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, commands)
	}
	if err := s.AwaitDNS(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// resolves waits until the archive's name leads pods to an address.
func (s *site) resolves(t *testing.T, want string) {
	t.Helper()
	poll.Must(t, time.Minute, named+" leads to "+want, func() error {
		out, err := s.shell(t.Context(), "builder", "getent ahostsv4 "+named)
		if err == nil && !strings.HasPrefix(out, want+" ") {
			err = fmt.Errorf("it leads to %q", out)
		}
		return err
	})
}

// pastTheBox are the requests that came to the archive from somebody else.
func (w *world) pastTheBox() (all []string) {
	for _, r := range w.http.Log() {
		if !strings.HasPrefix(r.UserAgent, "millpond") && r.Method == http.MethodGet {
			all = append(all, r.Path+" by "+r.UserAgent)
		}
	}
	return all
}

// build builds an image upon the stock one. The driver vfs needs nothing of the node.
const build = `
cd /tmp
cat >Containerfile <<'END'
FROM docker-archive:/stock.tar
RUN apt-get -q update --error-on=any && apt-get -q install -y tool
END
buildah --storage-driver vfs build --isolation chroot --tag built . 2>&1
`

// secureUpdate reads the archive by https; its certificate is for another name.
func secureUpdate(cert []byte) string {
	return `
cat >/tmp/ca.pem <<'END'
` + string(cert) + `END
sed s,http:,https:, /etc/apt/sources.list >/tmp/sources.list
apt-get -q update --error-on=any -o Dir::Etc::SourceList=/tmp/sources.list -o Acquire::https::CAInfo=/tmp/ca.pem -o Acquire::https::Verify-Host=false
`
}
