// Package logs holds slog handlers that stand between the box's parts and its log:
//
//   - Redact hides logins and queries in URLs;
//   - Unlink takes from each line either the client or what it requested
//     (MILLPOND_PRIVACY);
//   - Limiter leaves out lines that come too often, and says how many.
//
// A line passes them in this order. Events for the page are kept between Unlink and
// Limiter: they hold no secret, and each one counts.
//
// Access is another log: a line of JSON for each request of a client.
//
// The handlers know lines by the names of their attributes ("client", "url", "peer" and
// the others in partyKeys), which are the same in all parts. They do not look into
// groups, which the box's parts do not use; Unlink does not look into what a logger has
// from With either, where no part puts a client.
package logs

import "log/slog"

// Notice is the level of lines for the page's events that a log has at debug level only:
// everyday answers of mirrors, as that a file does not exist.
const Notice = slog.LevelInfo - 1
