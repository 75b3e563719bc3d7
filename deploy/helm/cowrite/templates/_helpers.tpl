{{- define "cowrite.labels" -}}
app.kubernetes.io/name: cowrite
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cowrite.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "cowrite.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}
