{{- /* The prefix of every name: the release's, which is sandbox-operator as config/default has it, unless it is called otherwise. */}}
{{- define "sandbox-operator.prefix" -}}
{{- if contains "sandbox-operator" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-sandbox-operator" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "sandbox-operator.labels" -}}
app.kubernetes.io/name: sandbox-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* What the Deployment selects never changes, so it has no version in it. */}}
{{- define "sandbox-operator.selector" -}}
control-plane: controller-manager
app.kubernetes.io/name: sandbox-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sandbox-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "sandbox-operator.prefix" . }}-controller-manager
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "sandbox-operator.metrics" -}}
{{- if and .Values.metrics.enabled (not .Values.namespaces) }}yes{{ end }}
{{- end }}
