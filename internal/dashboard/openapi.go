package dashboard

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"
)

// schema is a JSON schema, or another part of an OpenAPI document.
type schema map[string]any

const apiRoot = "/api/v1/"

// openAPI serves the description of the API.
func (d *Dashboard) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(d.description) // a client that left is nobody's error
}

// describe makes the OpenAPI 3.1 document of a table of operations. Schemas
// are read off the Go types that handlers answer with.
func describe(version string, all []operation) ([]byte, error) {
	types := make(schemas)
	types.of(reflect.TypeFor[Tick]()) // of the stream; no operation gives it alone
	paths := make(map[string]schema)
	for _, o := range all {
		path := apiRoot + o.path
		if paths[path] == nil {
			paths[path] = schema{}
		}
		paths[path][strings.ToLower(o.verb())] = types.operation(o)
	}
	return json.MarshalIndent(schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "millpond", "version": version,
			"description": "What an apt proxy saved, holds and does. Byte figures are body bytes. Lists are bounded and paged.",
		},
		"paths": paths,
		"components": schema{
			"schemas":         types,
			"securitySchemes": schema{"token": schema{"type": "http", "scheme": "bearer", "description": "MILLPOND_ADMIN_TOKEN"}},
		},
	}, "", "  ")
}

func (o operation) verb() string {
	if o.method == "" {
		return http.MethodGet
	}
	return o.method
}

// schemas are those of named types.
type schemas map[string]schema

func (s schemas) operation(o operation) schema {
	refusal := schema{"description": "Why not, in plain words", "content": schema{"text/plain": schema{}}}
	answer, code := schema{"description": o.does}, "200"
	switch {
	case o.as != "":
		answer["content"] = schema{o.as: schema{}}
	case o.gives != nil:
		content := schema{"application/json": schema{"schema": s.of(reflect.TypeOf(o.gives))}}
		if o.path == "events" {
			content["text/event-stream"] = schema{}
		}
		answer["content"] = content
	default:
		code, answer = "204", schema{"description": "Done"}
	}
	op := schema{"summary": o.does, "responses": schema{code: answer, "default": refusal}}
	if len(o.params) > 0 {
		var params []schema
		for _, p := range o.params {
			params = append(params, schema{"name": p.name, "in": p.in, "description": p.does, "required": p.in == "path", "schema": p.schema})
		}
		op["parameters"] = params
	}
	if o.takes != nil {
		op["requestBody"] = schema{"required": true, "content": schema{"application/json": schema{"schema": s.of(reflect.TypeOf(o.takes))}}}
	}
	if o.admin {
		op["security"] = []schema{{"token": []string{}}}
	}
	return op
}

// of returns the schema of a Go type as encoding/json writes it; a reference
// if the type has a name.
func (s schemas) of(t reflect.Type) schema {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return instant
	case t.Kind() == reflect.Pointer:
		return schema{"oneOf": []schema{s.of(t.Elem()), {"type": "null"}}}
	}
	switch t.Kind() {
	case reflect.String:
		return text
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Slice:
		return schema{"type": "array", "items": s.of(t.Elem())}
	case reflect.Struct:
		return s.object(t)
	}
	return schema{"type": "object"}
}

func (s schemas) object(t reflect.Type) schema {
	name := strings.NewReplacer("[millpond/internal/dashboard.", "Of", "]", "").Replace(t.Name())
	reference := schema{"$ref": "#/components/schemas/" + name}
	if s[name] != nil {
		return reference
	}
	object := schema{"type": "object", "additionalProperties": false}
	s[name] = object // before its fields, which may lead back here
	properties, required := schema{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		tag, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || tag == "" {
			continue
		}
		properties[tag] = s.of(f.Type)
		if option == "" {
			required = append(required, tag)
		}
	}
	object["properties"], object["required"] = properties, required
	return reference
}
