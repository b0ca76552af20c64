{{/* Names and labels, as `helm create` makes them. */}}

{{- define "mission-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "mission-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mission-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mission-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is empty: with serviceAccount.create=false name the ServiceAccount to use" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "mission-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "mission-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mission-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mission-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "mission-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mission-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Where agents reach the operator; empty where nobody can tell. */}}
{{- define "mission-operator.agentApiUrl" -}}
{{- if .Values.agentApi.url }}
{{- .Values.agentApi.url }}
{{- else if .Values.agentApi.service.enabled }}
{{- printf "http://%s.%s:8080" (include "mission-operator.fullname" .) .Release.Namespace }}
{{- end }}
{{- end }}
