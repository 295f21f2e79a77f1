{{/* The box's environment: what the chart decides, then the settings. */}}
{{- define "millpond.env" -}}
- name: MILLPOND_LISTEN
  value: ":3142"
{{- if include "millpond.ownDashboard" . }}
- name: MILLPOND_DASHBOARD_LISTEN
  value: ":3143"
{{- end }}
{{- with .Values.dashboard.token }}
{{- if .existingSecret }}
- name: DASHBOARD_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .secretKey }}
{{- end }}
{{- end }}
{{- with include "millpond.access" . }}
- name: MILLPOND_DASHBOARD_ACCESS
  value: {{ . | quote }}
{{- end }}
- name: MILLPOND_DATA_DIR
  value: /var/lib/millpond
{{- if .Values.cacheSize }}
- name: MILLPOND_CACHE_SIZE
  value: {{ .Values.cacheSize | quote }}
{{- else if eq .Values.kind "StatefulSet" }}
- name: MILLPOND_CACHE_SIZE
  value: 90%
{{- end }}
{{- if include "millpond.adminSecret" . }}
- name: MILLPOND_ADMIN_TOKEN_FILE
  value: /etc/millpond-admin/{{ .Values.adminToken.secretKey }}
{{- end }}
{{- if .Values.logins.existingSecret }}
- name: MILLPOND_AUTH_FILE
  value: /etc/millpond-logins/{{ .Values.logins.secretKey }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: MILLPOND_TLS_CERT
  value: /etc/millpond-tls/tls.crt,/etc/millpond-tls/tls.key
{{- end }}
{{- if include "millpond.upstreamSecret" . }}
- name: MILLPOND_UPSTREAM_PROXY
  valueFrom:
    secretKeyRef:
      name: {{ include "millpond.upstreamSecret" . }}
      key: {{ .Values.upstreamProxy.secretKey }}
{{- end }}
{{- with .Values.byName.hosts }}
- name: MILLPOND_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.byName.resolvers }}
- name: MILLPOND_RESOLVER
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.upstreamProxy.except }}
- name: MILLPOND_UPSTREAM_PROXY_EXCEPT
  value: {{ join "," . | quote }}
{{- end }}
{{- if include "millpond.authorities" . }}
- name: SSL_CERT_FILE
  value: /etc/millpond-certificates/{{ .Values.certificates.key }}
{{- end }}
{{- with .Values.timeZone }}
- name: TZ
  value: {{ . | quote }}
{{- end }}
{{- include "millpond.swarmEnv" . }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "millpond.swarmEnv" }}
- name: MILLPOND_SWARM
  value: {{ .Values.swarm.enabled | quote }}
{{- if .Values.swarm.enabled }}
- name: MILLPOND_SWARM_LISTEN
  value: /ip4/0.0.0.0/tcp/4001,/ip6/::/tcp/4001
- name: MILLPOND_SWARM_LOCAL
  value: {{ .Values.swarm.local | quote }}
- name: MILLPOND_BOOTSTRAP
  value: {{ prepend .Values.swarm.bootstrap (printf "%s-peers.%s.svc" (include "millpond.fullname" .) .Release.Namespace) | join "," | quote }}
{{- if .Values.swarm.key.enabled }}
- name: MILLPOND_SWARM_KEY_FILE
  value: /etc/millpond/{{ .Values.swarm.key.secretKey }}
{{- end }}
{{- with .Values.swarm.announce }}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: NODE_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
- name: MILLPOND_ANNOUNCE_ADDRS
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- end }}
