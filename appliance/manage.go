package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"millpond/internal/api"
	"millpond/internal/dashboard"
)

// errDegraded says that the box serves, but that something is wrong, which was told.
var errDegraded = errors.New("the box is degraded")

const (
	// clientsAtOnce is as many as the API gives at once.
	clientsAtOnce = 200
	// knownHosts is how many hosts a message names at most.
	knownHosts = 5
)

// print writes what the API answered.
func (i invocation) print(answer []byte) error {
	_, err := i.stdout.Write(answer)
	return err
}

// printJSON writes several answers as one.
func (i invocation) printJSON(v any) error {
	e := json.NewEncoder(i.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// statusCommand tells how the box is.
func statusCommand(ctx context.Context, c Config, i invocation) error {
	at := boxOf(c)
	resp, err := at.ask(ctx, http.MethodGet, "/readyz", readToken(c), nil)
	if err != nil {
		return fmt.Errorf("%w%s", err, cureNoBox)
	}
	defer resp.Body.Close()
	var ready api.Readiness
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&ready); err != nil || ready.Status == "" {
		return notABox(at, resp.Status)
	}
	s, err := askAPI[api.Summary](ctx, c, http.MethodGet, "summary", readToken(c), nil)
	if err != nil {
		return err
	}
	if i.json {
		err = i.printJSON(struct {
			Readiness api.Readiness `json:"readiness"`
			Summary   api.Summary   `json:"summary"`
		}{ready, s})
	} else {
		err = printStatus(i.stdout, ready, s)
	}
	switch {
	case err != nil:
		return err
	case ready.Status == "unavailable":
		return fmt.Errorf("the box at %v is unavailable: %s", at, shownText(fatal(ready.Faults)))
	case ready.Status != "ok":
		return errDegraded
	}
	return nil
}

func printStatus(w io.Writer, ready api.Readiness, s api.Summary) error {
	b := dashboard.FormatBytes
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "Status\t%s (millpond %s)\n", shownText(ready.Status), shownText(s.Version))
	for _, f := range ready.Faults {
		fmt.Fprintf(t, "Wrong\t%s: %s\n", shownText(f.What), shownText(f.Why))
	}
	fmt.Fprintf(t, "Saved\t%s since %s\n", b(s.SavedBytes), s.Since.Local().Format(time.DateOnly))
	fmt.Fprintf(t, "To clients\t%s for %d requests: %s held, %s from other boxes, %s from mirrors\n", b(s.ClientBytes), s.Requests, b(s.FromStore), b(s.FromPeers), b(s.FromMirror))
	fmt.Fprintf(t, "From mirrors\t%s for %d requests, %d more were avoided\n", b(s.MirrorBytes), s.MirrorRequests, s.AvoidedRequests)
	fmt.Fprintf(t, "Tunnelled\t%s, which counts for none of these\n", b(s.TunnelBytes))
	limit := b(s.QuotaBytes)
	if s.LimitBytes < s.QuotaBytes {
		limit = fmt.Sprintf("%s (the disk has no room for %s)", b(s.LimitBytes), limit)
	}
	fmt.Fprintf(t, "Holds\t%d files, %s of %s\n", s.Blobs, b(s.BlobBytes), limit)
	fmt.Fprintf(t, "Knows\t%d suites of %d archives, with %d files\n", s.Suites, s.Archives, s.Known)
	fmt.Fprintf(t, "Downloads\t%d under way\n", s.Downloads)
	return t.Flush()
}

// clientsCommand lists the clients.
func clientsCommand(ctx context.Context, c Config, i invocation) error {
	all := api.Page[api.Account]{Items: []api.Account{}}
	for more := true; more; {
		page, err := askAPI[api.Page[api.Account]](ctx, c, http.MethodGet, fmt.Sprintf("clients?sort=bytes&limit=%d&offset=%d", clientsAtOnce, len(all.Items)), readToken(c), nil)
		if err != nil {
			return err
		}
		all.Total, all.Items = page.Total, append(all.Items, page.Items...)
		more = len(page.Items) > 0 && len(all.Items) < page.Total
	}
	if i.json {
		return i.printJSON(all)
	}
	if len(all.Items) == 0 {
		fmt.Fprintln(i.stdout, "No client is known: none has asked for a file, or MILLPOND_PRIVACY of the box lets none be kept.")
		return nil
	}
	t := tabwriter.NewWriter(i.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLIENT\tNAME\tREQUESTS\tGOT\tTUNNELLED\tLAST")
	for _, a := range all.Items {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", shownText(a.Name), cmp.Or(shownText(a.Hostname), "-"), a.Requests,
			dashboard.FormatBytes(a.ClientBytes), dashboard.FormatBytes(a.TunnelBytes), a.Last.Local().Format(time.DateTime))
	}
	return t.Flush()
}

// purgeCommand purges a host or path, in as many steps as the box wants.
func purgeCommand(ctx context.Context, c Config, i invocation) error {
	var sum api.Purged
	for request := (api.PurgeRequest{What: i.args[0]}); ; request.After = sum.Next {
		p, _, err := act[api.Purged](ctx, c, "purge", request)
		if err != nil {
			return err
		}
		sum = api.Purged{Host: p.Host, Path: p.Path, Files: sum.Files + p.Files, Bytes: sum.Bytes + p.Bytes,
			InUse: sum.InUse + p.InUse, Pinned: sum.Pinned + p.Pinned, Shared: sum.Shared + p.Shared, Next: p.Next}
		if p.Next == "" {
			break
		}
	}
	if i.json {
		if err := i.printJSON(sum); err != nil {
			return err
		}
	}
	what := shownText(sum.Host + sum.Path)
	if sum.Files+sum.InUse+sum.Pinned+sum.Shared == 0 {
		return fmt.Errorf("the box at %v holds nothing of %s%s", boxOf(c), what, hostsHeld(ctx, c))
	}
	if i.json {
		return nil
	}
	fmt.Fprintf(i.stdout, "Removed %d files of %s, which freed %s.\n", sum.Files, what, dashboard.FormatBytes(sum.Bytes))
	for _, kept := range []struct {
		files int64
		why   string
	}{{sum.Shared, "elsewhere too"}, {sum.Pinned, "pinned, as Release files are"}, {sum.InUse, "being read"}} {
		if kept.files > 0 {
			fmt.Fprintf(i.stdout, "%d stay: they are %s.\n", kept.files, kept.why)
		}
	}
	return nil
}

// hostsHeld ends a message about a host that nothing is held of: with others, if it can be
// found out.
func hostsHeld(ctx context.Context, c Config) string {
	page, err := askAPI[api.Page[api.Host]](ctx, c, http.MethodGet, fmt.Sprintf("hosts?limit=%d", knownHosts), readToken(c), nil)
	var names []string
	for _, h := range page.Items {
		names = append(names, shownText(h.Name))
	}
	if err != nil || len(names) == 0 {
		return ""
	}
	text := "; its clients use " + strings.Join(names, ", ")
	if page.Total > len(names) {
		text += " and others"
	}
	return text
}

func pinCommand(ctx context.Context, c Config, i invocation) error { return pinned(ctx, c, i, "pin") }

func unpinCommand(ctx context.Context, c Config, i invocation) error {
	return pinned(ctx, c, i, "unpin")
}

// pinned pins or unpins what the command names.
func pinned(ctx context.Context, c Config, i invocation, action string) error {
	r, raw, err := act[api.PinResult](ctx, c, action, api.PinRequest{What: i.args[0]})
	switch {
	case err != nil:
		return err
	case i.json:
		return i.print(raw)
	}
	for _, f := range r.Files {
		state := "not pinned any more"
		if f.Pinned {
			state = "pinned"
		}
		if f.Pinned && action == "unpin" {
			state = "still pinned, by a setting or for a suite"
		}
		fmt.Fprintf(i.stdout, "%s (%s): %s\n", shownText(cmp.Or(f.Name, f.Digest)), dashboard.FormatBytes(f.Size), state)
	}
	fmt.Fprintf(i.stdout, "Pinned are %s; %s is the limit for pins by hand.\n", dashboard.FormatBytes(r.PinnedBytes), dashboard.FormatBytes(r.LimitBytes))
	return nil
}

// prefetchCommand begins a prefetch.
func prefetchCommand(ctx context.Context, c Config, i invocation) error {
	request := api.PrefetchRequest{}
	if len(i.args) > 0 {
		u, err := url.Parse(i.args[0])
		if err != nil || u.Scheme == "" || u.Host == "" {
			return wrongUsage("prefetch takes the URL of a suite's directory, such as http://archive.example.org/debian/dists/stable, not %q", i.args[0])
		}
		request.Suite = strings.TrimRight(i.args[0], "/")
	}
	p, raw, err := act[api.Prefetch](ctx, c, "prefetch", request)
	switch {
	case err != nil:
		return err
	case i.json:
		return i.print(raw)
	}
	of := cmp.Or(p.Suite, "all suites that clients use")
	fmt.Fprintf(i.stdout, "The box fetches newer versions of what clients use, of %s. Since %s all prefetches took %d files, %s from other boxes and %s from mirrors.\n",
		shownText(of), p.Since.Local().Format(time.DateOnly), p.Total.Files, dashboard.FormatBytes(p.Total.FromPeers), dashboard.FormatBytes(p.Total.FromMirrors))
	return nil
}
