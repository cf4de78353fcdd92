{{- define "portcullis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Leaves room for the suffix of the telemetry Service. */}}
{{- define "portcullis.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "portcullis.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "portcullis.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "portcullis.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The gateway's pods. The component keeps pods that merely carry the sidecar out. */}}
{{- define "portcullis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "portcullis.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "portcullis.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "portcullis.configMapName" -}}
{{- default (include "portcullis.fullname" .) .Values.existingConfigMap }}
{{- end }}

{{- define "portcullis.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/*
How long requests in flight may take at the end, in whole seconds: what `config` says, or the default. A ConfigMap that the
chart did not write cannot be looked at.
*/}}
{{- define "portcullis.drainSeconds" -}}
{{- $config := ternary dict .Values.config (not (empty .Values.existingConfigMap)) }}
{{- $drain := dig "timeouts" "drain" "30s" $config }}
{{- if regexMatch "^[0-9]+ *s(ec(onds?)?)?$" $drain }}
{{- regexFind "^[0-9]+" $drain }}
{{- else if regexMatch "^[0-9]+ *m(in(utes?)?)?$" $drain }}
{{- mul 60 (regexFind "^[0-9]+" $drain) }}
{{- else if regexMatch "^[0-9]+ *ms(ec)?$" $drain }}
{{- add 1 (div (regexFind "^[0-9]+" $drain) 1000) }}
{{- else }}
{{- fail (printf "config.timeouts.drain: write %q in whole seconds or minutes, such as 120s, so that the grace period can be compared with it" $drain) }}
{{- end }}
{{- end }}

{{/*
Refuses ports that `config` does not listen on, and listeners that cannot be reached. Renders nothing.
A ConfigMap that the chart did not write cannot be checked.
*/}}
{{- define "portcullis.checkPorts" -}}
{{- if not .Values.existingConfigMap }}
{{- $loopback := "^(127\\.|localhost:|\\[::1\\]:)" }}
{{- $listener := "" }}
{{- range .Values.config.listen }}
{{- if hasSuffix (printf ":%d" (int $.Values.ports.data)) .address }}
{{- $listener = .address }}
{{- end }}
{{- end }}
{{- if not $listener }}
{{- fail (printf "ports.data is %d, but no listener of config.listen has that port" (int .Values.ports.data)) }}
{{- end }}
{{- if and .Values.gateway.enabled (regexMatch $loopback $listener) }}
{{- fail (printf "config.listen has %s: a gateway's Service cannot reach a loopback address" $listener) }}
{{- end }}
{{- $telemetry := .Values.config.telemetry.address }}
{{- if not (hasSuffix (printf ":%d" (int .Values.ports.telemetry)) $telemetry) }}
{{- fail (printf "ports.telemetry is %d, but config.telemetry.address is %s" (int .Values.ports.telemetry) $telemetry) }}
{{- end }}
{{- if regexMatch $loopback $telemetry }}
{{- fail (printf "config.telemetry.address is %s: the kubelet cannot probe a loopback address" $telemetry) }}
{{- end }}
{{- end }}
{{- end }}
