{{/* The pod of a StatefulSet or a DaemonSet. */}}
{{- define "millpond.pod" -}}
metadata:
  # Not the chart's version: a new chart that changes nothing restarts nothing.
  labels:
    {{- include "millpond.selectorLabels" . | nindent 4 }}
    {{- with merge dict .Values.podLabels .Values.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge dict .Values.podAnnotations (include "millpond.checksums" . | fromYaml) .Values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "millpond.serviceAccountName" . }}
  automountServiceAccountToken: false
  # Those of a Service called millpond would look like settings of the box.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "millpond.podSecurity" . | nindent 4 }}
    # For volumes that are root's, the swarm key's among them. OnRootMismatch,
    # since a look at each of a million files would hold up every start.
    {{- with include "millpond.identity" (dict "root" . "name" "fsGroup") }}
    fsGroup: {{ . }}
    {{- end }}
    fsGroupChangePolicy: OnRootMismatch
  # What the hook below takes, the box's own 25 s, and 5 s to close its database.
  terminationGracePeriodSeconds: {{ add (include "millpond.leaving" . | int) 30 }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with include "millpond.placement" . }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  containers:
    - name: millpond
      image: {{ include "millpond.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      env:
        {{- include "millpond.env" . | nindent 8 }}
      ports:
        - name: http
          containerPort: 3142
        {{- if include "millpond.ownDashboard" . }}
        - name: dashboard
          containerPort: 3143
        {{- end }}
        {{- if .Values.swarm.enabled }}
        - name: swarm
          containerPort: 4001
        {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: http}
        {{- toYaml .Values.probes.startup | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      lifecycle:
        preStop:
          {{- if include "millpond.adminSecret" . }}
          # If the box does not drain, it takes drainSeconds, as the sleep does.
          exec:
            command: [millpond, drain, {{ .Values.drainSeconds }}s, {{ include "millpond.leaving" . }}s]
          {{- else }}
          # The kubelet's own: the image has no shell.
          sleep:
            seconds: {{ .Values.drainSeconds }}
          {{- end }}
      securityContext:
        {{- include "millpond.containerSecurity" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /var/lib/millpond
        {{- if include "millpond.private" . }}
        - name: swarm-key
          mountPath: /etc/millpond
          readOnly: true
        {{- end }}
        {{- if include "millpond.adminSecret" . }}
        - name: admin-token
          mountPath: /etc/millpond-admin
          readOnly: true
        {{- end }}
        {{- if .Values.logins.existingSecret }}
        - name: logins
          mountPath: /etc/millpond-logins
          readOnly: true
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /etc/millpond-tls
          readOnly: true
        {{- end }}
        {{- if include "millpond.authorities" . }}
        - name: certificates
          mountPath: /etc/millpond-certificates
          readOnly: true
        {{- end }}
        {{- if or .Values.keyrings.configMaps .Values.keyrings.secrets }}
        - name: keyrings
          mountPath: /etc/apt/keyrings
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  {{- with include "millpond.volumes" . }}
  {{- . | trim | nindent 2 }}
  {{- end }}
{{- end }}

{{/* How long the hook of a pod that ends takes at most. Only with its token does a box drain. */}}
{{- define "millpond.leaving" -}}
{{- if include "millpond.adminSecret" . }}
{{- add .Values.drainSeconds .Values.downloadSeconds }}
{{- else }}
{{- .Values.drainSeconds }}
{{- end }}
{{- end }}

{{/* Changed secrets that the chart itself holds start the pods anew. */}}
{{- define "millpond.checksums" -}}
{{- with and (include "millpond.private" .) (not .Values.swarm.key.existingSecret) .Values.swarm.key.value }}
checksum/swarm-key: {{ sha256sum . }}
{{- end }}
{{- with and (not .Values.adminToken.existingSecret) .Values.adminToken.value }}
checksum/admin-token: {{ sha256sum . }}
{{- end }}
{{- with and (not .Values.upstreamProxy.existingSecret) .Values.upstreamProxy.value }}
checksum/upstream-proxy: {{ sha256sum . }}
{{- end }}
{{- end }}

{{/* Claims are the StatefulSet's own, so there may be no volume at all. */}}
{{- define "millpond.volumes" -}}
{{- $keyrings := or .Values.keyrings.configMaps .Values.keyrings.secrets }}
{{- if or (eq .Values.kind "DaemonSet") (include "millpond.private" .) (include "millpond.adminSecret" .) $keyrings .Values.logins.existingSecret .Values.tls.existingSecret (include "millpond.authorities" .) .Values.extraVolumes -}}
volumes:
  {{- if eq .Values.kind "DaemonSet" }}
  - name: data
    hostPath:
      path: {{ .Values.persistence.hostPath }}
      # Not DirectoryOrCreate: the kubelet would make it root's.
      type: Directory
  {{- end }}
  {{- if include "millpond.private" . }}
  - name: swarm-key
    secret:
      secretName: {{ include "millpond.keySecret" . }}
      defaultMode: 0440
      items:
        - key: {{ .Values.swarm.key.secretKey }}
          path: {{ .Values.swarm.key.secretKey }}
  {{- end }}
  {{- if include "millpond.adminSecret" . }}
  - name: admin-token
    secret:
      secretName: {{ include "millpond.adminSecret" . }}
      defaultMode: 0440
      items:
        - key: {{ .Values.adminToken.secretKey }}
          path: {{ .Values.adminToken.secretKey }}
  {{- end }}
  {{- if .Values.logins.existingSecret }}
  - name: logins
    secret:
      secretName: {{ .Values.logins.existingSecret }}
      defaultMode: 0440
      items:
        - key: {{ .Values.logins.secretKey }}
          path: {{ .Values.logins.secretKey }}
  {{- end }}
  {{- if .Values.tls.existingSecret }}
  - name: tls
    secret:
      secretName: {{ .Values.tls.existingSecret }}
      defaultMode: 0440
      items:
        - key: tls.crt
          path: tls.crt
        - key: tls.key
          path: tls.key
  {{- end }}
  {{- if include "millpond.authorities" . }}
  - name: certificates
    {{- if .Values.certificates.configMap }}
    configMap:
      name: {{ .Values.certificates.configMap }}
    {{- else }}
    secret:
      secretName: {{ .Values.certificates.secret }}
      defaultMode: 0440
    {{- end }}
      items:
        - key: {{ .Values.certificates.key }}
          path: {{ .Values.certificates.key }}
  {{- end }}
  {{- if $keyrings }}
  - name: keyrings
    projected:
      sources:
        {{- range .Values.keyrings.configMaps }}
        - configMap:
            name: {{ . }}
        {{- end }}
        {{- range .Values.keyrings.secrets }}
        - secret:
            name: {{ . }}
        {{- end }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "millpond.authorities" -}}
{{- if or .Values.certificates.configMap .Values.certificates.secret }}true{{ end }}
{{- end }}

{{/* On which nodes: two replicas on one share its failure and its disk. */}}
{{- define "millpond.placement" -}}
{{- $selector := dict "matchLabels" (include "millpond.selectorLabels" . | fromYaml) }}
{{- $affinity := deepCopy .Values.affinity }}
{{- if eq .Values.kind "StatefulSet" }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $selector }}
{{- if hasKey $affinity "podAntiAffinity" }}
{{- else if eq .Values.spread.nodes "soft" }}
{{- $preferred := list (dict "weight" 100 "podAffinityTerm" $term) }}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred) }}
{{- else if eq .Values.spread.nodes "hard" }}
{{- $_ := set $affinity "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) }}
{{- end }}
{{- if ne .Values.spread.zones "none" }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ eq .Values.spread.zones "hard" | ternary "DoNotSchedule" "ScheduleAnyway" }}
    labelSelector:
      {{- toYaml $selector | nindent 6 }}
{{- end }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
