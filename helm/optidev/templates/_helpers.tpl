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

{{- define "optidev.host" -}}
{{- (urlParse .Values.publicUrl).host | splitList ":" | first }}
{{- end }}

{{/* Names are looked up at whatever answers on that port: clusters differ in where it is. */}}
{{- define "optidev.dns" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}
