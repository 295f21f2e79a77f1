// Types of the API that the generated ones do not have yet.
import type {} from './api.gen.ts'

declare module './api.gen.ts' {
  interface Account {
    /** of a client, by an administrator; left out if there is none */
    given_name?: string
  }

  interface BoxAddress {
    /** host and port, for apt */
    address: string
    /** by which the page is read now; a name in MILLPOND_DASHBOARD_ACCESS; an address of an interface; the machine's own name */
    kind: 'request' | 'setting' | 'interface' | 'hostname'
    /** URL of the script that sets up a client */
    script: string
    /** the interface; empty for names */
    via: string
  }

  interface ClientAccount {
    /** to clients */
    client_bytes: number
    client_bytes_from_mirror: number
    client_bytes_from_peers: number
    client_bytes_from_store: number
    first: string
    given_name: string
    /** of a client; empty while it is not known */
    hostname: string
    last: string
    /** when it last got or confirmed a suite's Release; null if it has not since this is noted, or MILLPOND_PRIVACY keeps it from being noted */
    last_update: string | null
    /** from mirrors, for any reason */
    mirror_bytes: number
    /** sent to mirrors, for any reason */
    mirror_requests: number
    /** address, host or package; others for all that found no place of their own */
    name: string
    /** from other boxes */
    peer_bytes_in: number
    /** to other boxes */
    peer_bytes_out: number
    /** of clients */
    requests: number
    /** clients' requests for Release files and files that no index lists that were answered without a request to the mirror */
    revalidations_avoided: number
    /** bytes to clients less bytes from mirrors for any reason; may be negative */
    saved_bytes: number
    /** through CONNECT tunnels, both ways */
    tunnel_bytes: number
  }

  interface ClientDetail {
    /** to clients */
    client_bytes: number
    client_bytes_from_mirror: number
    client_bytes_from_peers: number
    client_bytes_from_store: number
    /** requests of it that were not served, the latest first; at most 16 different ones */
    failures: ClientFailure[]
    first: string
    given_name: string
    /** of a client; empty while it is not known */
    hostname: string
    last: string
    /** when it last got or confirmed a suite's Release; null if it has not since this is noted, or MILLPOND_PRIVACY keeps it from being noted */
    last_update: string | null
    /** from mirrors, for any reason */
    mirror_bytes: number
    /** sent to mirrors, for any reason */
    mirror_requests: number
    /** address, host or package; others for all that found no place of their own */
    name: string
    /** packages that are remembered of it, 2,048 at most */
    package_total: number
    /** that it got most bytes of; at most 20 */
    packages: ClientPackage[]
    /** from other boxes */
    peer_bytes_in: number
    /** to other boxes */
    peer_bytes_out: number
    /** packages of which an index in force lists a newer version than it last got here, by name; at most 200 */
    pending: ClientUpdate[]
    pending_total: number
    /** of clients */
    requests: number
    /** clients' requests for Release files and files that no index lists that were answered without a request to the mirror */
    revalidations_avoided: number
    /** bytes to clients less bytes from mirrors for any reason; may be negative */
    saved_bytes: number
    /** when the box began to note what follows; null if it notes none of it */
    since: string | null
    /** that it updated, the latest first; at most 32 */
    suites: ClientSuite[]
    /** through CONNECT tunnels, both ways */
    tunnel_bytes: number
  }

  interface ClientFailure {
    /** in plain words; empty if MILLPOND_PRIVACY keeps it from being noted */
    cause: string
    first: string
    last: string
    /** HTTP status that it was answered with */
    status: number
    times: number
    /** the last one; empty likewise */
    url: string
  }

  interface ClientName {
    /** IP address */
    address: string
    /** empty removes the name */
    name: string
  }

  interface ClientPackage {
    architecture: string
    bytes: number
    last: string
    name: string
    requests: number
    /** that it got last, without epoch */
    version: string
  }

  interface ClientSuite {
    /** another generation is in force here, or in its ring */
    behind: boolean
    /** of that Release; null if the box no longer knows it */
    date: string | null
    /** digest of the Release that it has */
    generation: string
    /** date of the Release that it would get now; null if none is known */
    in_force: string | null
    /** as in sources.list */
    name: string
    /** through which it got it; empty for none */
    ring: string
    /** when it last got or confirmed its Release */
    updated: string
    /** of its directory */
    url: string
  }

  interface ClientUpdate {
    architecture: string
    /** version that it got last here, without epoch */
    has: string
    name: string
    /** URL of the directory of the suite that lists it */
    suite: string
    /** newest one in the suites that it updates from, without epoch */
    version: string
  }

  interface Disk {
    /** how far the cache can grow: the limit, or less if the disk has not that much room */
    effective: number
    /** of the file system; -1 if that cannot be read */
    free: number
    /** as MILLPOND_CACHE_SIZE says */
    limit: number
    /** of the file system; -1 if that cannot be read */
    total: number
    /** bytes of the data directory: files held and unfinished, and the database */
    used: number
  }

  interface Event {
    /** to whom it happened, the latest first; at most 8 */
    clients: EventClient[]
    /** when it happened first */
    first: string
    /** the mirror or archive that it is about; empty if there is none */
    host: string
    /** fault: of the box, or in serving a client; refusal: by a setting or a rule; mirror: what a mirror answered in place of a file; ring: what became of one; audit: an admin action */
    kind: 'fault' | 'refusal' | 'mirror' | 'ring' | 'audit'
    /** HTTP status that a client got */
    status?: number
    /** URL of the suite that it is about, as far as the event names one or has a URL below dists/ */
    suite: string
    /** the headline: what failed, and for whom or with what */
    what: string
  }

  interface EventClient {
    address: string
    /** when it happened to this client last */
    time: string
    /** that it asked for last; empty if it is not known or not kept */
    url: string
  }

  interface EventList {
    /** value of before for the following ones; 0 at the end */
    next: number
  }

  interface Failures {
    /** requests that the box could not answer, or cut short */
    failed: number
    /** that the mirror refused, mostly as it has no such file */
    missing: number
    /** by a setting or a rule of the box */
    refused: number
    /** of clients, those refused or failed included */
    requests: number
    /** an hour ago, or when the box started */
    since: string
    /** files served without keeping them, for lack of room or a fault of the disk */
    unkept: number
  }

  interface GivenName {
    /** empty removes the name */
    name: string
  }

  interface GraphNode {
    /** by an administrator; left out if there is none */
    given_name?: string
  }

  interface Host {
    /** of a client, by an administrator; left out if there is none */
    given_name?: string
  }

  interface MirrorDay {
    bytes: number
    requests: number
    spared_bytes: number
    spared_requests: number
    /** of the UTC day */
    start: string
  }

  interface MirrorLoad {
    /** by status, since the ledger began; none in a sum */
    answers: HostAnswer[]
    /** of the period, the oldest first; those without anything are left out */
    by_day: MirrorDay[]
    /** that it sent */
    bytes: number
    /** that they got */
    client_bytes: number
    /** of clients for its files */
    client_requests: number
    /** others for all that found no place of their own; empty in a sum */
    host: string
    last: string
    /** sent to it, for any reason */
    requests: number
    /** of these requests, those for Release files and files that no index lists that were answered without a request to it: within the TTL, or because another client or the box itself had asked, or another box of the site */
    revalidations_avoided: number
    /** to clients less those that it sent; may be negative */
    spared_bytes: number
    /** of clients less those sent to it; may be negative */
    spared_requests: number
    /** of its answers, by class; those without any are left out */
    statuses: StatusLoad[]
  }

  interface MirrorLoads {
    /** UTC days of the period, today included */
    days: number
    /** those that sent or spared most bytes first */
    items: MirrorLoad[]
    /** rows left out before the first one */
    offset: number
    /** of all hosts */
    sum: MirrorLoad
    /** hosts */
    total: number
  }

  interface Money {
    /** as it is to be shown, such as EUR or $ */
    currency: string
    /** for 10^9 bytes; 0 shows no money */
    per_gb: number
    /** since the ledger began; negative while more was taken from mirrors than given to clients */
    saved: number
  }

  interface Overview {
    clients: Reach
    disk: Disk
    last_hour: Failures
    /** empty: nothing was served or fetched yet; filling: mirrors sent at least as much as clients got, as the first copy costs and savings begin with the second client; saving: clients got more than mirrors sent */
    phase: 'empty' | 'filling' | 'saving'
  }

  interface Package {
    /** of a client, by an administrator; left out if there is none */
    given_name?: string
  }

  interface PackageClient {
    /** by an administrator; left out if there is none */
    given_name?: string
  }

  interface PageClientAccount {
    items: ClientAccount[]
    offset: number
    total: number
  }

  interface Peer {
    /** by an administrator; left out if there is none */
    given_name?: string
  }

  interface PinRequest {
    /** a package, the name of a file, or its SHA-256 */
    what: string
  }

  interface PinResult {
    /** that are held, and pinned or unpinned now; at most 100 */
    files: Blob[]
    /** to which files can be pinned by hand */
    limit_bytes: number
    /** of all pinned files, whoever pinned them */
    pinned_bytes: number
  }

  interface Price {
    /** as it is to be shown, such as EUR or $ */
    currency: string
    /** for 10^9 bytes; 0 shows no money */
    per_gb: number
  }

  interface PurgeRequest {
    /** next of the last answer, to go on */
    after?: string
    /** a host such as archive.example.org; a directory or file of it such as archive.example.org/debian/pool/main/h/hello; or the URL of one */
    what: string
  }

  interface Purged {
    /** that this freed */
    bytes: number
    /** removed */
    files: number
    /** as it was understood */
    host: string
    /** files that stay, since they are being read */
    in_use: number
    /** value of after to go on: there was not time for all; empty at the end */
    next: string
    /** likewise; empty: all of the host */
    path: string
    /** files that stay, since they are pinned; Release files are */
    pinned: number
    /** files that stay, since they are elsewhere too */
    shared: number
  }

  interface Rates {
    client_bytes: number
    client_bytes_from_mirror: number
    client_bytes_from_peers: number
    client_bytes_from_store: number
    mirror_bytes: number
    peer_bytes_in: number
    peer_bytes_out: number
  }

  interface Reach {
    /** of those, with a request within 24 h */
    day: number
    /** clients that the ledger knows */
    ever: number
  }

  interface Series {
    /** start of the first bucket: not before the ledger began */
    from: string
    /** length of a bucket in seconds */
    interval: number
    to: string
    trend: Trend
  }

  interface Setup {
    /** by which clients are likely to reach the box, the best first */
    addresses: BoxAddress[]
    /** only the box itself reaches it so, or a proxy stands between: choose one of the candidates */
    local: boolean
    /** host and port by which the reader of this answer reached the box */
    reached: string
  }

  interface Site {
    /** with local boxes, whose figures nothing proves */
    all: SiteSum
    /** of this box and the members of its swarm */
    proved: SiteSum
  }

  interface SiteBox {
    /** not connected now: the figures are those of seen */
    away: boolean
    blob_bytes: number
    blobs: number
    /** to clients */
    client_bytes: number
    client_bytes_from_mirror: number
    client_bytes_from_peers: number
    client_bytes_from_store: number
    clients: number
    downloads_running: number
    /** at most 8 */
    faults: Fault[]
    /** by an administrator; empty if there is none */
    given_name: string
    /** peer ID; empty for a box in no swarm */
    id: string
    /** member for this box */
    kind: 'member' | 'local'
    /** from mirrors, for any reason */
    mirror_bytes: number
    /** sent to mirrors, for any reason */
    mirror_requests: number
    packages: number
    /** from other boxes */
    peer_bytes_in: number
    /** to other boxes */
    peer_bytes_out: number
    quota_bytes: number
    rates: Rates
    /** of clients */
    requests: number
    /** clients' requests for Release files and files that no index lists that were answered without a request to the mirror */
    revalidations_avoided: number
    /** bytes to clients less bytes from mirrors for any reason; may be negative */
    saved_bytes: number
    /** when it told its figures */
    seen: string
    self: boolean
    /** when its ledger began */
    since: string
    status: 'ok' | 'degraded' | 'unavailable'
    suites: number
    /** through CONNECT tunnels, both ways */
    tunnel_bytes: number
    /** a local box: nothing proves its figures */
    unproved: boolean
    version: string
  }

  interface SiteBoxes {
    /** this one first, then the others by name and ID; at most 257 */
    boxes: SiteBox[]
  }

  interface SiteFault {
    /** peer ID; empty for a box in no swarm */
    box: string
    /** the box cannot serve, and traffic should go elsewhere */
    fatal: boolean
    /** of the box; empty if it has none */
    given_name: string
    /** the box serves, but saves nothing: files are not being kept */
    urgent: boolean
    /** the part: store, mirror deb.example.org */
    what: string
    /** in plain words */
    why: string
  }

  interface SitePackage {
    /** that told of it */
    boxes: number
    /** to clients */
    client_bytes: number
    client_bytes_from_mirror: number
    client_bytes_from_peers: number
    client_bytes_from_store: number
    /** from mirrors, for any reason */
    mirror_bytes: number
    /** sent to mirrors, for any reason */
    mirror_requests: number
    name: string
    /** from other boxes */
    peer_bytes_in: number
    /** to other boxes */
    peer_bytes_out: number
    /** of clients */
    requests: number
    /** clients' requests for Release files and files that no index lists that were answered without a request to the mirror */
    revalidations_avoided: number
    /** bytes to clients less bytes from mirrors for any reason; may be negative */
    saved_bytes: number
    /** through CONNECT tunnels, both ways */
    tunnel_bytes: number
  }

  interface SitePackages {
    /** most saved first; at most 100 */
    packages: SitePackage[]
  }

  interface SiteSuite {
    /** that have it, connected or not */
    boxes: number
    /** with a mirror, last, by any of the boxes; left out if not known */
    checked?: string
    /** the worst of the connected boxes */
    state: 'fresh' | 'stale' | 'expired' | 'unchecked'
    /** only local boxes have it */
    unproved: boolean
    /** of its directory */
    url: string
    /** peer ID of the box with that state; empty if all have the same */
    worst_box: string
  }

  interface SiteSuites {
    /** by URL; at most 1000 */
    suites: SiteSuite[]
  }

  interface SiteSum {
    blob_bytes: number
    /** files held; one that two boxes hold counts twice */
    blobs: number
    boxes: number
    /** of these, not connected now */
    boxes_away: number
    /** connected boxes that are not ok */
    boxes_faulty: number
    /** to clients */
    client_bytes: number
    client_bytes_from_mirror: number
    client_bytes_from_peers: number
    client_bytes_from_store: number
    /** one that came to several boxes counts once */
    clients: number
    /** false: an estimate, or some boxes tell only how many they have, so that one that moved between those counts more than once */
    clients_exact: boolean
    downloads_running: number
    /** from mirrors, for any reason */
    mirror_bytes: number
    /** sent to mirrors, for any reason */
    mirror_requests: number
    /** names of packages that clients requested, each once */
    packages: number
    /** as clients_exact */
    packages_exact: boolean
    /** from other boxes */
    peer_bytes_in: number
    /** to other boxes */
    peer_bytes_out: number
    quota_bytes: number
    rates: Rates
    /** of clients */
    requests: number
    /** clients' requests for Release files and files that no index lists that were answered without a request to the mirror */
    revalidations_avoided: number
    /** bytes to clients less bytes from mirrors for any reason; may be negative */
    saved_bytes: number
    /** when the first of their ledgers began */
    since: string
    /** the worst of the connected boxes */
    status: 'ok' | 'degraded' | 'unavailable'
    /** through CONNECT tunnels, both ways */
    tunnel_bytes: number
    /** the worst fault of the connected boxes; null if none has one */
    worst: SiteFault
  }

  interface StatusLoad {
    bytes: number
    /** none if no answer came */
    class: '2xx' | '3xx' | '4xx' | '5xx' | 'other' | 'none'
    requests: number
  }

  interface Suite {
    /** URLs of the same directory by another scheme, which this row stands for, too; it shows the one that is worst off */
    also: string[]
  }

  interface Summary {
    /** how much can be held now: quota_bytes, or less if the disk has no room for that */
    limit_bytes: number
    money: Money
  }

  interface Trend {
    /** left out unless the ledger existed all that time */
    before?: TrendFigures
    /** of the span that was asked for, up to the present */
    now: TrendFigures
  }

  interface TrendFigures {
    /** to clients */
    client_bytes: number
    client_bytes_from_mirror: number
    client_bytes_from_peers: number
    client_bytes_from_store: number
    from: string
    /** from mirrors, for any reason */
    mirror_bytes: number
    /** sent to mirrors, for any reason */
    mirror_requests: number
    /** from other boxes */
    peer_bytes_in: number
    /** to other boxes */
    peer_bytes_out: number
    /** of clients */
    requests: number
    /** clients' requests for Release files and files that no index lists that were answered without a request to the mirror */
    revalidations_avoided: number
    /** bytes to clients less bytes from mirrors for any reason; may be negative */
    saved_bytes: number
    to: string
    /** through CONNECT tunnels, both ways */
    tunnel_bytes: number
  }

  interface Tunnel {
    /** the same for clients with the box as proxy */
    as_proxy: string
    /** of the period, the oldest first; those without tunnels are left out */
    by_day: TunnelDay[]
    /** in the period, both ways */
    bytes: number
    /** since first */
    bytes_ever: number
    /** the last ones, the latest first; at most 16; none if the box keeps none (MILLPOND_PRIVACY) */
    clients: TunnelClient[]
    first: string
    /** with its port unless that is 443; others for all that found no place of their own */
    host: string
    last: string
    /** how its addresses begin in the clients' sources; empty for others */
    source: string
    /** with what they begin instead so that the box caches the files, after the scheme http and the box's name */
    through_box: string
    /** that carried something, in the period */
    tunnels: number
  }

  interface TunnelClient {
    /** since it was first seen there */
    bytes: number
    /** empty if it is not known */
    hostname: string
    last: string
    /** its address */
    name: string
  }

  interface TunnelDay {
    bytes: number
    /** of the UTC day */
    start: string
    tunnels: number
  }

  interface Tunnels {
    /** through tunnels to these hosts in the period, both ways */
    bytes: number
    /** UTC days of the period, today included */
    days: number
    /** those with most bytes first */
    items: Tunnel[]
    /** rows left out before the first one */
    offset: number
    /** hosts with tunnels in the period */
    total: number
  }

  interface Widget {
    /** that have made requests; 0 if MILLPOND_PRIVACY has none counted */
    clients: number
    /** to clients, since the ledger began */
    delivered: string
    delivered_bytes: number
    /** under way */
    downloads: number
    /** the first reason why the status is not ok; empty if it is */
    fault: string
    /** on disk */
    files: number
    /** on disk */
    held: string
    held_bytes: number
    /** that the saved bytes would have cost, such as 12.30 EUR; empty without a price */
    money: string
    /** the same as a number */
    money_saved: number
    /** since the ledger began, such as 1.23 TB */
    saved: string
    saved_bytes: number
    /** of the last 30 days */
    saved_month: string
    saved_month_bytes: number
    /** of what clients got; 0 while nothing is saved */
    saved_percent: number
    saved_today: string
    saved_today_bytes: number
    status: 'ok' | 'degraded' | 'unavailable'
  }
}
