package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"millpond/internal/api"
)

// check holds a decoded answer to a schema of the document.
func check(doc map[string]any, s map[string]any, v any) error {
	if ref, ok := s["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		return check(doc, doc["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any), v)
	}
	got := map[string]bool{}
	switch v := v.(type) {
	case nil:
		got["null"] = true
	case string:
		got["string"] = true
	case bool:
		got["boolean"] = true
	case float64:
		got["number"], got["integer"] = true, v == float64(int64(v))
	case []any:
		got["array"] = true
		for _, item := range v {
			if err := check(doc, s["items"].(map[string]any), item); err != nil {
				return err
			}
		}
	case map[string]any:
		got["object"] = true
		properties, _ := s["properties"].(map[string]any)
		for name, value := range v {
			p, ok := properties[name].(map[string]any)
			if !ok && s["additionalProperties"] == false {
				return fmt.Errorf("%s is not described", name)
			} else if ok {
				if err := check(doc, p, value); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Errorf("%s is missing", name)
			}
		}
	}
	wanted, several := s["type"].([]any) // ["string", "null"]
	if !several {
		wanted = []any{s["type"]}
	}
	if !slices.ContainsFunc(wanted, func(want any) bool { return got[want.(string)] }) {
		return fmt.Errorf("%v is no %v", v, wanted)
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%v is none of %v", v, enum)
	}
	return nil
}

// The document lists exactly what the router serves, and every answer has the
// form that it gives.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	doc := get[map[string]any](t, r, "/api/v1/openapi.json")
	var described, served []string
	for path, item := range doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	err := chi.Walk(r.Handler().(chi.Router), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if strings.HasPrefix(route, "/api/") {
			served = append(served, method+" "+route)
		}
		return nil
	})
	slices.Sort(described)
	slices.Sort(served)
	if err != nil || !slices.Equal(described, served) {
		t.Errorf("described: %v\nserved:    %v, %v", described, served, err)
	}
	checked := 0
	for path, item := range doc["paths"].(map[string]any) {
		op, ok := item.(map[string]any)["get"].(map[string]any)
		if !ok {
			continue
		}
		content := op["responses"].(map[string]any)["200"].(map[string]any)["content"].(map[string]any)
		body, ok := content["application/json"].(map[string]any)
		if !ok {
			continue
		}
		checked++
		with := ""
		if op["security"] != nil {
			with = token
		}
		w := r.do(t, http.MethodGet, strings.NewReplacer("{name}", "bash", "{address}", "10.1.2.4").Replace(path)+"?step=day&suite=http://deb.example.org/debian/dists/trixie", with, "")
		if err := check(doc, body["schema"].(map[string]any), decode[any](t, w.Body.Bytes())); w.Code != http.StatusOK || err != nil {
			t.Errorf("GET %s: %v", path, err)
		}
	}
	if checked < 12 {
		t.Errorf("only %d answers were checked", checked)
	}
	tick := doc["components"].(map[string]any)["schemas"].(map[string]any)["Tick"].(map[string]any)
	b, err := json.Marshal(r.tick())
	if err == nil {
		err = check(doc, tick, decode[any](t, b))
	}
	if err != nil {
		t.Errorf("a tick: %v", err)
	}
}

// Every operation has a name of its own and says what its errors look like, and
// nothing in it refers to another site.
func TestDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	text := r.do(t, http.MethodGet, "/api/v1/openapi.json", "", "").Body.String()
	if strings.Contains(text, "://") || strings.Contains(text, "$schema") || !strings.Contains(text, `"openapi": "3.1`) {
		t.Errorf("document:\n%s", text)
	}
	ids := map[any]bool{}
	doc := decode[map[string]any](t, []byte(text))
	described := map[any]bool{}
	for _, tag := range doc["tags"].([]any) {
		described[tag.(map[string]any)["name"]] = tag.(map[string]any)["description"] != ""
	}
	// Relative to the document: the root of the box, below whatever path a proxy has it.
	at, err := url.Parse("http://proxy.example.org/apt/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if root, err := at.Parse(doc["servers"].([]any)[0].(map[string]any)["url"].(string)); err != nil || strings.TrimSuffix(root.String(), "/") != "http://proxy.example.org/apt" {
		t.Errorf("the server is %v, %v", root, err)
	}
	// They name files of the machine, or what the site wants.
	forAdmins := map[string]bool{"getImport": true, "getExport": true, "getFill": true, "getWantList": true}
	for path, item := range doc["paths"].(map[string]any) {
		for method, o := range item.(map[string]any) {
			op := o.(map[string]any)
			id, _ := op["operationId"].(string)
			failure, _ := json.Marshal(op["responses"].(map[string]any)["default"])
			if id == "" || ids[id] || op["summary"] == nil || !strings.Contains(string(failure), `"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}`) {
				t.Errorf("%s %s: %v", method, path, op)
			}
			if admin := op["security"] != nil; admin != (method != "get" || forAdmins[id]) {
				t.Errorf("%s %s: needs the token: %v", method, path, admin)
			}
			if tags, _ := op["tags"].([]any); len(tags) != 1 || !described[tags[0]] {
				t.Errorf("%s %s: tags %v", method, path, tags)
			}
			ids[id] = true
		}
	}
}

// An error is a problem document (RFC 9457) that says what is wrong.
func TestProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, tt := range []struct {
		method, path, token, body string
		status                    int
		says                      string
	}{
		{"GET", "clients?limit=201", "", "", 400, "query.limit: expected number <= 200"},
		{"GET", "rings/prod/changes", "", "", 400, "query.suite: required query parameter is missing"},
		{"GET", "series?step=hour&from=2020-01-01T00:00:00Z", "", "", 400, "take a longer step"},
		{"GET", "packages/zsh", "", "", 404, "none is held"},
		{"DELETE", "blobs/abc", token, "", 400, "path.digest"},
		{"DELETE", "blobs/" + r.deb.String(), "", "", 401, "MILLPOND_ADMIN_TOKEN"},
		{"PUT", "swarm/upload-rate", token, `{"bytes_per_second": -1}`, 400, "body.bytes_per_second: expected number >= 0"},
		{"PUT", "swarm/upload-rate", token, `{"bytes_per_second": 1, "bits": 2}`, 400, "body.bits: unexpected property"},
		{"PUT", "swarm/upload-rate", token, "{}", 400, "body: expected required property bytes_per_second"},
		{"PUT", "swarm/upload-rate", token, strings.Repeat(" ", maxRateBody), 413, "too large"},
	} {
		w := r.do(t, tt.method, "/api/v1/"+tt.path, tt.token, tt.body)
		p := decode[api.Problem](t, w.Body.Bytes())
		if w.Code != tt.status || p.Status != tt.status || p.Title != http.StatusText(tt.status) || !strings.Contains(p.Detail, tt.says) ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %v: %+v", tt.method, tt.path, w.Code, w.Header(), p)
		}
	}
}

// curl labels what -d sends as a form; a body is JSON all the same.
func TestBodyIsJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/api/v1/swarm/upload-rate", strings.NewReader(`{"bytes_per_second": 7}`))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Host = "box.lan"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusNoContent || r.Dashboard.swarm.(*neighbour).rate != 7 {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}
