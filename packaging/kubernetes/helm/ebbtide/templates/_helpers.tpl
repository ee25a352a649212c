{{- define "ebbtide.labels" -}}
app.kubernetes.io/name: ebbtide
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
{{- define "ebbtide.selector" -}}
app.kubernetes.io/name: ebbtide
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "ebbtide.image" -}}
{{ .Values.image.name }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
