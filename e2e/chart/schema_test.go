package chart

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
)

func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	b, err := os.ReadFile(chartDir + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// What a user may get wrong is refused before anything reaches the cluster.
func TestBadValues(t *testing.T) {
	const extra = "additional properties "
	for text, want := range map[string]string{
		// Keys that there are not, at every level.
		"replicas: 3":                                    extra + "'replicas' not allowed",
		"image: {name: x}":                               extra + "'name' not allowed",
		"swarm: {keys: {}}":                              extra + "'keys' not allowed",
		"swarm: {key: {secretkey: x}}":                   extra + "'secretkey' not allowed",
		"swarm: {service: {ports: 1}}":                   extra + "'ports' not allowed",
		"settings: {MILLPOND_CACHE: x}":                  extra + "'MILLPOND_CACHE' not allowed",
		"settings: {MILLPOND_LISTEN: ':1'}":              extra + "'MILLPOND_LISTEN' not allowed",
		"byName: {hosts: [debian]}":                      "'/byName/hosts/0'",
		"byName: {hosts: [default]}":                     "'/byName/resolvers': minItems",
		"byName: {resolvers: [dns.example.org]}":         "'/byName/resolvers/0'",
		"settings: {HTTP_PROXY: x}":                      extra + "'HTTP_PROXY' not allowed",
		"probes: {readiness: {period: 1}}":               extra + "'period' not allowed",
		"resources: {limit: {cpu: 1}}":                   extra + "'limit' not allowed",
		"tolerations: [{keys: x}]":                       extra + "'keys' not allowed",
		"affinity: {podAffinities: {}}":                  extra + "'podAffinities' not allowed",
		"networkPolicy: {clients: [{ip: 10.0.0.0/8}]}":   extra + "'ip' not allowed",
		"networkPolicy: {extraEgress: [{from: []}]}":     extra + "'from' not allowed",
		"httpRoute: {parentRefs: [{name: a, names: b}]}": extra + "'names' not allowed",
		"serviceMonitor: {intervall: 1s}":                extra + "'intervall' not allowed",
		"labels: {app.kubernetes.io/name: x}":            "'/labels/app.kubernetes.io~1name'",
		"podLabels: {app.kubernetes.io/component: x}":    "'/podLabels/app.kubernetes.io~1component'",
		"resources: {limits: {mem: 1Gi}}":                extra + "'mem' not allowed",
		// Values that nothing could be made of.
		"replicaCount: -1":                                "'/replicaCount': minimum",
		"replicaCount: two":                               "'/replicaCount': got string, want integer",
		"kind: Deployment":                                "'/kind': value must be one of 'StatefulSet', 'DaemonSet'",
		"image: {digest: latest}":                         "'/image/digest'",
		"image: {repository: ''}":                         "'/image/repository'",
		"image: {pullPolicy: Sometimes}":                  "'/image/pullPolicy': value must be one of",
		"imagePullSecrets: [{name: x}]":                   "'/imagePullSecrets/0': got object, want string",
		"nameOverride: Apt":                               "'/nameOverride'",
		"podAnnotations: {a: 1}":                          "'/podAnnotations/a': got number, want string",
		"settings: {MILLPOND_UPLOAD_RATE: 0}":             "'/settings/MILLPOND_UPLOAD_RATE': got number, want string",
		"timeZone: '../localtime'":                        "'/timeZone'",
		"settings: {MILLPOND_LOG_LEVEL: loud}":            "'/settings/MILLPOND_LOG_LEVEL': value must be one of",
		"settings: {MILLPOND_OFFLINE: 'no'}":              "'/settings/MILLPOND_OFFLINE': value must be one of",
		"persistence: {size: much}":                       "'/persistence/size'",
		"persistence: {accessModes: [ReadWriteMany]}":     "'/persistence/accessModes/0': value must be one of",
		"persistence: {accessModes: []}":                  "'/persistence/accessModes': minItems",
		"persistence: {hostPath: data}":                   "'/persistence/hostPath'",
		"persistence: {whenScaled: Keep}":                 "'/persistence/whenScaled': value must be one of",
		"cacheSize: 100Gib/s":                             "'/cacheSize'",
		"cacheSize: '200'":                                "'/cacheSize'",
		"cacheSize: 50":                                   "'/cacheSize': got number, want string",
		"service: {type: ExternalName}":                   "'/service/type': value must be one of",
		"service: {port: 70000}":                          "'/service/port': maximum",
		"service: {internalTrafficPolicy: Near}":          "'/service/internalTrafficPolicy': value must be one of",
		"service: {trafficDistribution: Near}":            "'/service/trafficDistribution': value must be one of",
		"service: {loadBalancerSourceRanges: [10.0.0.1]}": "'/service/loadBalancerSourceRanges/0'",
		"swarm: {enabled: 1}":                             "'/swarm/enabled': got number, want boolean",
		"swarm: {key: {value: secret}}":                   "'/swarm/key/value'",
		"swarm: {bootstrap: 'a,b'}":                       "'/swarm/bootstrap': got string, want array",
		"swarm: {bootstrap: ['a,b']}":                     "'/swarm/bootstrap/0'",
		"swarm: {announce: [box.example.org]}":            "'/swarm/announce/0'",
		"keyrings: {secrets: [A]}":                        "'/keyrings/secrets/0'",
		"upstreamProxy: {value: proxy.example.org:3128}":  "'/upstreamProxy/value'",
		"upstreamProxy: {except: ['a,b']}":                "'/upstreamProxy/except/0'",
		"certificates: {configMap: A}":                    "'/certificates/configMap'",
		"certificates: {configMap: a, secret: b}":         "'/certificates/secret'",
		"podSecurityContext: {runAsUser: 0}":              "'/podSecurityContext/runAsUser': minimum",
		"podSecurityContext: {fsGroup: box}":              "'/podSecurityContext/fsGroup'",
		"podSecurityContext: {privileged: true}":          extra + "'privileged' not allowed",
		"extraEnv: [{name: MILLPOND_LISTEN, value: a}]":   "'/extraEnv/0/name'",
		"extraEnv: [{name: A, values: a}]":                extra + "'values' not allowed",
		"extraEnv: [{name: A, valueFrom: {}}]":            "'/extraEnv/0/valueFrom': minProperties",
		"extraEnv: [{name: A, value: 1}]":                 "'/extraEnv/0/value': got number, want string",
		"extraVolumes: [{name: data, emptyDir: {}}]":      "'/extraVolumes/0/name'",
		"extraVolumes: [{name: a}]":                       "'/extraVolumes/0': minProperties",
		"extraVolumes: [{name: a, empty: {}}]":            extra + "'empty' not allowed",
		"extraVolumeMounts: [{name: a}]":                  "'/extraVolumeMounts/0'",
		"extraVolumeMounts: [{name: a, mountPath: b}]":    "'/extraVolumeMounts/0/mountPath'",
		"priorityClassName: High":                         "'/priorityClassName'",
		"ingress: {enabled: true}":                        "'/ingress/host'",
		"httpRoute: {enabled: true}":                      "'/httpRoute/parentRefs'",
		"serviceMonitor: {interval: often}":               "'/serviceMonitor/interval'",
		"networkPolicy: {clients: [{}]}":                  "'/networkPolicy/clients/0': minProperties",
		"networkPolicy: {mirrorPorts: [http]}":            "'/networkPolicy/mirrorPorts/0': got string, want integer",
		"resources: {limits: {memory: lots}}":             "'/resources/limits/memory'",
		"drainSeconds: 0":                                 "'/drainSeconds': minimum",
		"downloadSeconds: 0":                              "'/downloadSeconds': minimum",
		"updateStrategy: Recreate":                        "'/updateStrategy': value must be one of",
		"podDisruptionBudget: {maxUnavailable: half}":     "'/podDisruptionBudget/maxUnavailable'",
		"probes: {liveness: {periodSeconds: 0}}":          "'/probes/liveness/periodSeconds': minimum",
		"spread: {nodes: maybe}":                          "'/spread/nodes': value must be one of",
		"aptConfig: {namespaces: [true]}":                 "'/aptConfig/namespaces/0': got boolean, want string",
	} {
		_, err := renderValues(t, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v\nwant: %s", text, err, want)
		}
	}
}

// Every object of the schema lists its keys or is a map of something, and only
// `global`, which belongs to a chart above this one, is free.
func TestSchemaIsClosed(t *testing.T) {
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch node := node.(type) {
		case []any:
			for _, child := range node {
				walk(path+"/*", child)
			}
		case map[string]any:
			if node["type"] == "object" && path != "/properties/global" {
				if more, ok := node["additionalProperties"]; !ok || more == true {
					t.Errorf("%s takes any key", path)
				}
			}
			for key, child := range node {
				walk(path+"/"+key, child)
			}
		}
	}
	walk("", schemaOf(t))
}

// values.yaml and the schema have the same keys.
func TestSchemaKeys(t *testing.T) {
	// For a cluster's administrator to add.
	optional := []string{"global", "settings", "probes.startup", "probes.readiness", "probes.liveness"}
	var walk func(path string, schema map[string]any, values map[string]any)
	walk = func(path string, schema, values map[string]any) {
		properties, ok := schema["properties"].(map[string]any)
		if !ok || slices.Contains(optional, path) {
			return
		}
		for key := range properties {
			name := strings.TrimPrefix(path+"."+key, ".")
			value, ok := values[key]
			if !ok && !slices.Contains(optional, name) {
				t.Errorf("values.yaml has no %s", name)
			}
			if inner, ok := value.(map[string]any); ok {
				walk(name, properties[key].(map[string]any), inner)
			}
		}
	}
	// That the schema has all of values.yaml, rendering the defaults shows.
	walk("", schemaOf(t), mustLoad(t).Values)
}

func TestLint(t *testing.T) {
	for name, text := range valueSets(t) {
		t.Run(name, func(t *testing.T) {
			result := lint.RunAll(chartDir, values(t, text), namespace)
			for _, m := range result.Messages {
				if m.Severity >= support.WarningSev {
					t.Error(m)
				}
			}
		})
	}
}
