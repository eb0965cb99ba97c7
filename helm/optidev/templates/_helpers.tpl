{{/* The name of everything: the release's, with the chart's unless it is there already. */}}
{{- define "optidev.name" -}}
{{- if contains "optidev" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-optidev" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels of one component: (dict "root" $ "component" "web"). */}}
{{- define "optidev.selector" -}}
app.kubernetes.io/name: optidev
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "optidev.labels" -}}
{{ include "optidev.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "optidev.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* An image of the helpers: (dict "root" $ "image" .Values.test). */}}
{{- define "optidev.helper-image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end }}{{ .image.repository }}:{{ .image.tag }}
{{- end }}

{{- define "optidev.pull-secrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* What every pod has. The Service's variables (OPTIDEV_PORT and the like) would be read as settings. */}}
{{- define "optidev.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
shareProcessNamespace: false
{{- end }}

{{/* What every container has. */}}
{{- define "optidev.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "optidev.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "optidev.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* The mark of what the controller makes. A namespace's name has no dot, so no two installations in a cluster have the same. */}}
{{- define "optidev.install" -}}
{{- $install := printf "%s.%s" .Release.Namespace (include "optidev.name" .) -}}
{{- if gt (len $install) 63 -}}
{{- fail (printf (print "%q is to mark what belongs to this installation and is %d characters long; a label's value has at most "
    "63. Install into a namespace with a shorter name, or under a shorter release name.") $install (len $install)) -}}
{{- end -}}
{{- $install -}}
{{- end }}

{{/* The controller's name where there are no namespaces. */}}
{{- define "optidev.controller-cluster-name" -}}
{{- printf "%s-%s-controller" .Release.Namespace (include "optidev.name" .) -}}
{{- end }}

{{/* The pods of containers, as one element of `from` or `to`: two would mean either. */}}
{{- define "optidev.containers-peer" -}}
- namespaceSelector:
    matchLabels:
      optidev.dev/install: {{ include "optidev.install" . }}
  podSelector:
    matchLabels:
      optidev.dev/install: {{ include "optidev.install" . }}
{{- end }}

{{/* A map of texts as a table of TOML on one line. */}}
{{- define "optidev.toml-table" -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ $key | toJson }} = {{ index $ $key | toJson }}{{ end }} }
{{- end }}

{{- define "optidev.host" -}}
{{- (urlParse .Values.publicUrl).host | splitList ":" | first }}
{{- end }}

{{/* What keeps archives: s3, disk, none. A trial's one pod may keep them as its database keeps rows: until it goes. */}}
{{- define "optidev.objects" -}}
{{- if not .Values.objects.enabled -}}
none
{{- else if .Values.objects.endpoint -}}
s3
{{- else if not .Values.trial.enabled -}}
{{- fail (print "objects.endpoint is empty: archives of imported projects need storage that all replicas reach and that outlives a "
    "pod. Name a bucket in objects.*, or set objects.enabled=false: importing projects from archives is then refused.") -}}
{{- else if gt (int .Values.replicas) 1 -}}
none
{{- else -}}
disk
{{- end -}}
{{- end }}

{{/* Names are looked up at whatever answers on that port: clusters differ in where it is. */}}
{{- define "optidev.dns" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}
