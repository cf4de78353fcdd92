{{/* What the container of the gateway and that of the sidecar have in common. */}}
{{- define "portcullis.container" -}}
{{- include "portcullis.checkPorts" . -}}
name: portcullis
image: {{ include "portcullis.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: ["run", "--config", "/etc/portcullis/portcullis.yaml"]
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: data
    containerPort: {{ .Values.ports.data }}
    protocol: TCP
  - name: telemetry
    containerPort: {{ .Values.ports.telemetry }}
    protocol: TCP
  {{- range .Values.ports.extra }}
  - name: {{ .name }}
    containerPort: {{ .port }}
    protocol: TCP
  {{- end }}
# Alive as soon as the process answers, ready once it has a snapshot. A source that is away makes the
# pod unready and does not restart it.
startupProbe:
  httpGet: { path: /livez, port: telemetry }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: telemetry }
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: telemetry }
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  # The whole directory and never a subPath: Portcullis watches for the symlink that the kubelet swaps
  # when the ConfigMap changes, and a subPath is never swapped.
  - name: portcullis-config
    mountPath: /etc/portcullis
    readOnly: true
  - name: portcullis-state
    mountPath: /var/lib/portcullis
  {{- range .Values.secrets }}
  - name: portcullis-secret-{{ .name }}
    mountPath: /etc/portcullis-secrets/{{ .name }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The volumes of "portcullis.container". */}}
{{- define "portcullis.volumes" -}}
- name: portcullis-config
  configMap:
    name: {{ include "portcullis.configMapName" . }}
- name: portcullis-state
  emptyDir:
    sizeLimit: {{ .Values.state.sizeLimit }}
{{- range .Values.secrets }}
- name: portcullis-secret-{{ .name }}
  secret:
    secretName: {{ .existingSecret }}
    # Readable for uid 65532 in a pod without fsGroup. Only this container mounts the volume.
    defaultMode: 0444
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
