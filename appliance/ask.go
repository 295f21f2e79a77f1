package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"millpond/internal/api"
)

// boxAddr is where a box is asked: at a URL, or at the address that the one on this
// machine listens on.
type boxAddr struct {
	url    *url.URL // nil: listen
	listen string
	name   string // the setting of listen
}

// boxOf is where a command asks for the API.
func boxOf(c Config) boxAddr {
	if c.DashboardListen != "" {
		return boxAddr{c.box, c.DashboardListen, "DASHBOARD_LISTEN"}
	}
	return boxAddr{c.box, c.Listen[0], "LISTEN"}
}

func (a boxAddr) String() string {
	if a.url != nil {
		return a.url.String()
	}
	return prefix + a.name + "=" + a.listen
}

// ask sends a request to a box. It ignores the environment's proxy, which is often the box
// itself. Of the box on this machine it dials the listener's own address, which works even
// for ":3142". A token is sent as a bearer token.
func (a boxAddr) ask(ctx context.Context, method, path, token string, body []byte) (*http.Response, error) {
	base, transport := "http://localhost", &http.Transport{DisableKeepAlives: true}
	if a.url != nil {
		base = a.url.String()
	} else {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, a.listen)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no box answers (%v): %w", a, errors.Unwrap(err))
	}
	return resp, nil
}

// away returns an error if nothing answers where a box is asked.
func (a boxAddr) away(ctx context.Context) error {
	resp, err := a.ask(ctx, http.MethodGet, "/healthz", "", nil)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// cureNoBox follows the message that no box answers.
const cureNoBox = "; start it, or name a running one with --box URL"

// askRaw asks the API of the box, and returns its answer.
func askRaw(ctx context.Context, c Config, method, path, token string, body []byte) ([]byte, error) {
	at := boxOf(c)
	resp, err := at.ask(ctx, method, "/api/v1/"+path, token, body)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, cureNoBox)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxReadiness))
	if err != nil {
		return nil, fmt.Errorf("the box at %v broke off its answer: %w", at, err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent {
		return answer, nil
	}
	return nil, refusalOf(c, resp, answer, token)
}

// refusalOf is the error that the box answered with instead of 200.
func refusalOf(c Config, resp *http.Response, answer []byte, token string) error {
	at := boxOf(c)
	var refusal api.Problem
	if err := json.Unmarshal(answer, &refusal); err != nil || refusal.Detail == "" {
		return notABox(at, resp.Status)
	}
	if resp.StatusCode == http.StatusUnauthorized && token != "" {
		if token != c.AdminToken {
			return fmt.Errorf("the box at %v does not take the token given here: this needs the box's token in MILLPOND_DASHBOARD_ACCESS, or its admin token in MILLPOND_ADMIN_TOKEN", at)
		}
		return fmt.Errorf("the box at %v does not take the token given here: this needs the box's admin token in MILLPOND_ADMIN_TOKEN", at)
	}
	return fmt.Errorf("the box at %v: %s", at, refusal.Detail)
}

func notABox(at boxAddr, answered string) error {
	return fmt.Errorf("the server at %v is not a millpond: it answered %s", at, answered)
}

// askAPI asks the API of the box, with a bearer token if there is one.
func askAPI[T any](ctx context.Context, c Config, method, path, token string, body []byte) (answer T, err error) {
	raw, err := askRaw(ctx, c, method, path, token, body)
	if err == nil {
		answer, err = decodeAnswer[T](c, raw)
	}
	return answer, err
}

func decodeAnswer[T any](c Config, raw []byte) (answer T, err error) {
	if err = json.Unmarshal(raw, &answer); err != nil {
		err = notABox(boxOf(c), "with something else than JSON")
	}
	return answer, err
}

// readToken is the token for requests that change nothing; "" if none is known.
func readToken(c Config) string { return cmp.Or(c.access.Token, c.AdminToken) }

func errNoToken(c Config) error {
	return fmt.Errorf("%sADMIN_TOKEN is not set: set it to the admin token of the box at %v", prefix, boxOf(c))
}

// act asks for an admin action, with a body that is encoded as JSON. It returns the answer
// as it came as well.
func act[T any](ctx context.Context, c Config, path string, body any) (answer T, raw []byte, err error) {
	if c.AdminToken == "" {
		return answer, nil, errNoToken(c)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return answer, nil, err
	}
	if raw, err = askRaw(ctx, c, http.MethodPost, path, c.AdminToken, text); err != nil {
		return answer, nil, err
	}
	answer, err = decodeAnswer[T](c, raw)
	return answer, raw, err
}

// shownText is what of a box's answer is written to a terminal: no control characters.
func shownText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
