{{- define "syncmux.name" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{ $name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* What Deployments select by: never changes for a release. */}}
{{- define "syncmux.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "syncmux.labels" -}}
{{ include "syncmux.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "syncmux.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* What the profile "restricted" of Pod Security asks for, and a user that the image has. */}}
{{- define "syncmux.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "syncmux.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "syncmux.temporalEnv" -}}
{{- with .Values.settings }}
- name: SYNCMUX_LOG
  value: {{ .log | quote }}
- name: SYNCMUX_LOG_FORMAT
  value: json
- name: SYNCMUX_TASK_QUEUE
  value: {{ .taskQueue | quote }}
- name: TEMPORAL_ADDRESS
  value: {{ .temporal.address | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .temporal.namespace | quote }}
{{- if .temporal.tls }}
- name: TEMPORAL_TLS
  value: "true"
{{- end }}
{{- with .temporal.apiKeySecret }}
# The one secret that Temporal's own configuration takes from a variable alone.
- name: TEMPORAL_API_KEY
  valueFrom:
    secretKeyRef: { name: {{ . | quote }}, key: api-key }
{{- end }}
{{- with .otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Takes a map of variables to keys of the Secret. */}}
{{- define "syncmux.secretEnv" -}}
{{- range $name, $key := . }}
- name: {{ $name }}_FILE
  value: /run/secrets/sync-multiplexer/{{ $key }}
{{- end }}
{{- end }}

{{- define "syncmux.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ .name | quote }}
    # 0440: the group is fsGroup.
    defaultMode: 288
    items:
      {{- range $key := .files | values | uniq | sortAlpha }}
      - { key: {{ $key | quote }}, path: {{ $key | quote }} }
      {{- end }}
{{- end }}

{{- define "syncmux.secretMount" -}}
- name: secrets
  mountPath: /run/secrets/sync-multiplexer
  readOnly: true
{{- end }}

{{- /* One pod of a component on each node while there are nodes. */}}
{{- define "syncmux.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "syncmux.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end }}
