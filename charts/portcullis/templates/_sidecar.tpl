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
- restartPolicy: Always
  {{- include "portcullis.container" . | nindent 2 }}
{{- end }}

{{- define "portcullis.sidecar.volumes" -}}
{{- include "portcullis.volumes" . }}
{{- end }}
