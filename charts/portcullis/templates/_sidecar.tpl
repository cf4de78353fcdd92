{{/*
The sidecar, for the pods of a chart that depends on this one:

  initContainers:
    {{- include "portcullis.sidecar" .Subcharts.portcullis | nindent 8 }}
  volumes:
    {{- include "portcullis.sidecar.volumes" .Subcharts.portcullis | nindent 8 }}

`restartPolicy: Always` makes an init container a native sidecar: it is up before the application
starts and stays until the application has ended.
*/}}
{{- define "portcullis.sidecar" -}}
{{- if .Values.redirect.enabled }}
{{- include "portcullis.redirect" . }}
{{ end -}}
- restartPolicy: Always
  {{- include "portcullis.container" . | nindent 2 }}
{{- end }}

{{/*
Sets the redirect of the pod's own network before anything else of the pod starts, and ends. It alone is root and may
change the network; rules that cannot be set keep the pod from starting.
*/}}
{{- define "portcullis.redirect" -}}
{{- include "portcullis.checkRedirect" . -}}
- name: portcullis-redirect
  image: {{ .Values.redirect.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: ["/bin/sh", "-euc"]
  args:
    - |
      {{- range $command := .Values.redirect.commands }}
      {{- with $.Values.redirect.outbound }}
      # What the pod sends to these ports, but for what the proxy itself sends and what stays in the pod.
      {{ $command }} -t nat -A OUTPUT ! -o lo -p tcp -m multiport --dports {{ join "," . }} -m owner ! --uid-owner 65532 -j REDIRECT --to-ports {{ $.Values.ports.data }}
      {{- end }}
      {{- with $.Values.redirect.inbound }}
      # What others send to these ports.
      {{ $command }} -t nat -A PREROUTING -p tcp -m multiport --dports {{ join "," . }} -j REDIRECT --to-ports {{ $.Values.ports.data }}
      {{- end }}
      {{- end }}
  securityContext:
    runAsUser: 0
    runAsNonRoot: false
    allowPrivilegeEscalation: false
    privileged: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [NET_ADMIN, NET_RAW]
    seccompProfile:
      type: RuntimeDefault
  resources:
    requests: { cpu: 10m, memory: 16Mi }
    limits: { memory: 64Mi }
  volumeMounts:
    # The lock of iptables.
    - name: portcullis-run
      mountPath: /run
{{- end }}

{{/* Refuses a redirect that would do nothing, or that the proxy would know nothing of. */}}
{{- define "portcullis.checkRedirect" -}}
{{- if not .Values.redirect.image }}
{{- fail "redirect.image is empty: name an image with a shell and iptables" }}
{{- end }}
{{- if not (or .Values.redirect.outbound .Values.redirect.inbound) }}
{{- fail "redirect.outbound and redirect.inbound are empty: no connection would be redirected" }}
{{- end }}
{{- if not .Values.existingConfigMap }}
{{- $told := false }}
{{- range .Values.config.listen }}
{{- if and (hasSuffix (printf ":%d" (int $.Values.ports.data)) .address) .original_destination }}
{{- $told = true }}
{{- end }}
{{- end }}
{{- if not $told }}
{{- fail (printf "redirect.enabled is true, but no listener of config.listen on port %d has original_destination: true" (int .Values.ports.data)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "portcullis.sidecar.volumes" -}}
{{- if .Values.redirect.enabled }}
- name: portcullis-run
  emptyDir:
    sizeLimit: 1Mi
{{ end -}}
{{- include "portcullis.volumes" . }}
{{- end }}
