{{- define "millpond.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/*
The longest suffix is "-swarm-key", and a StatefulSet's pods add "-" and their
number and the controller a hash; 63 is what a name may have.
*/}}
{{- define "millpond.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "millpond.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "millpond.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What is the same in all of the release's objects, the test's pod too. */}}
{{- define "millpond.releaseLabels" -}}
app.kubernetes.io/name: {{ include "millpond.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What selects the boxes' pods, and never changes. */}}
{{- define "millpond.selectorLabels" -}}
{{ include "millpond.releaseLabels" . }}
app.kubernetes.io/component: box
{{- end }}

{{/* Labels but the component's, which each object adds. */}}
{{- define "millpond.labels" -}}
{{ include "millpond.releaseLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
An object's metadata: (dict "root" $ "suffix" "-swarm" "component" "swarm" …),
and as may be "annotations", "labels", and "name" and "namespace" where they
are not the release's.
*/}}
{{- define "millpond.metadata" -}}
name: {{ default (printf "%s%s" (include "millpond.fullname" .root) (get . "suffix")) (get . "name") }}
namespace: {{ default .root.Release.Namespace (get . "namespace") }}
labels:
  {{- include "millpond.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with get . "labels" }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict (default dict (get . "annotations")) .root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "millpond.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "millpond.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "millpond.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Where pods of any namespace reach the client Service. */}}
{{- define "millpond.address" -}}
{{ include "millpond.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}

{{/*
Behind an Ingress or a Gateway all clients have its address; with the clients'
port there, whoever reaches it could use the box.
*/}}
{{- define "millpond.ownDashboard" -}}
{{- if or .Values.dashboard.ownPort .Values.ingress.enabled .Values.httpRoute.enabled }}true{{ end }}
{{- end }}

{{- define "millpond.dashboardPort" -}}
{{- if include "millpond.ownDashboard" . }}dashboard{{ else }}http{{ end }}
{{- end }}

{{/*
Names and ranges of MILLPOND_DASHBOARD_ACCESS, and the token's variable. A name
without a dot is allowed anyway.
*/}}
{{- define "millpond.access" -}}
{{- $all := .Values.dashboard.access }}
{{- if and .Values.ingress.enabled (contains "." .Values.ingress.host) }}
{{- $all = append $all .Values.ingress.host }}
{{- end }}
{{- if .Values.httpRoute.enabled }}
{{- range .Values.httpRoute.hostnames }}
{{- if contains "." . }}
{{- $all = append $all . }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.dashboard.token.existingSecret }}
{{- $all = append $all "token:$(DASHBOARD_TOKEN)" }}
{{- end }}
{{- $all | uniq | join "," }}
{{- end }}

{{- define "millpond.private" -}}
{{- if and .Values.swarm.enabled .Values.swarm.key.enabled }}true{{ end }}
{{- end }}

{{- define "millpond.keySecret" -}}
{{- default (printf "%s-swarm-key" (include "millpond.fullname" .)) .Values.swarm.key.existingSecret }}
{{- end }}

{{- define "millpond.upstreamSecret" -}}
{{- if .Values.upstreamProxy.existingSecret -}}
{{- .Values.upstreamProxy.existingSecret }}
{{- else if .Values.upstreamProxy.value -}}
{{- include "millpond.fullname" . }}-upstream
{{- end }}
{{- end }}

{{- define "millpond.adminSecret" -}}
{{- if .Values.adminToken.existingSecret -}}
{{- .Values.adminToken.existingSecret }}
{{- else if .Values.adminToken.value -}}
{{- include "millpond.fullname" . }}-admin
{{- end }}
{{- end }}

{{/* The restricted Pod Security level, and a root that nobody writes to. */}}
{{- define "millpond.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A number of podSecurityContext, (dict "root" $ "name" …); nothing if it is null. */}}
{{- define "millpond.identity" -}}
{{- $value := get (default dict (get .root.Values "podSecurityContext")) .name }}
{{- if not (kindIs "invalid" $value) }}
{{- if ne (toString $value) "" }}{{ int64 $value }}{{ end }}
{{- end }}
{{- end }}

{{- define "millpond.podSecurity" -}}
runAsNonRoot: true
{{- range $name := list "runAsUser" "runAsGroup" }}
{{- with include "millpond.identity" (dict "root" $ "name" $name) }}
{{ $name }}: {{ . }}
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What a Service has for traffic from outside, from the values of one. */}}
{{- define "millpond.external" -}}
{{- if ne .type "ClusterIP" }}
externalTrafficPolicy: {{ .externalTrafficPolicy }}
{{- end }}
{{- if eq .type "LoadBalancer" }}
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Lines for CoreDNS that lead the archives' names to the Service. `default` stands for the
names that stock images of Debian and Ubuntu have in their sources. Debian's also have
SRV records, which apt prefers and which lead past the box.
*/}}
{{- define "millpond.dnsLines" -}}
{{- $to := printf "%s.%s.svc.cluster.local" (include "millpond.fullname" .) .Release.Namespace }}
{{- $hosts := without .Values.byName.hosts "default" }}
{{- if has "default" .Values.byName.hosts }}
{{- $default := list }}
{{- range list "deb" "security" }}{{- $default = append $default (printf "%s.debian.org" .) }}{{- end }}
{{- range list "archive" "security" "ports" }}{{- $default = append $default (printf "%s.ubuntu.com" .) }}{{- end }}
{{- $hosts = concat $default $hosts | uniq }}
{{- end }}
{{- $zones := list }}
{{- range $hosts }}
{{- $zones = append $zones (trimPrefix "*." .) }}
{{- if hasPrefix "*." . }}
rewrite name regex (.+)\.{{ trimPrefix "*." . | replace "." "\\." }} {{ $to }} answer auto
{{- else }}
rewrite name exact {{ . }} {{ $to }}
{{- end }}
{{- end }}
template IN SRV {{ $zones | uniq | join " " }} {
  rcode NXDOMAIN
}
{{- end }}
