{{- define "dex.podSpec" -}}
serviceAccountName: {{ include "dex.serviceAccountName" . | quote }}
automountServiceAccountToken: {{ include "dex.automountToken" . }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
- name: dex
  {{- include "dex.container" . | nindent 2 }}
volumes:
{{- include "dex.volumes" . }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- $ours := dict "labelSelector" (dict "matchLabels" (include "dex.selectorLabels" $ | fromYaml)) }}
{{- range . }}
- {{- (hasKey . "labelSelector") | ternary . (merge (deepCopy .) $ours) | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "dex.container" -}}
image: {{ include "dex.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
args:
- dex
- serve
{{- if include "dex.servesHTTP" . }}
- --web-http-addr
- 0.0.0.0:5556
{{- end }}
{{- if include "dex.servesHTTPS" . }}
- --web-https-addr
- 0.0.0.0:5554
{{- end }}
{{- if .Values.grpc.enabled }}
- --grpc-addr
- 0.0.0.0:5557
{{- end }}
- --telemetry-addr
- 0.0.0.0:5558
- /etc/dex/config.yaml
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.env .Values.envVars }}
env:
{{- range $name, $value := .Values.env }}
- name: {{ $name | quote }}
  value: {{ include "dex.envValue" $value }}
{{- end }}
{{- with .Values.envVars }}
{{ toYaml . }}
{{- end }}
{{- end }}
ports:
{{- range include "dex.ports" . | fromYamlArray }}
- name: {{ .name }}
  containerPort: {{ .container }}
  protocol: TCP
{{- end }}
{{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
{{- with index $.Values $probe }}
{{ $probe }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if and .Values.preStopSleepSeconds (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .Values.preStopSleepSeconds }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
- name: config
  mountPath: /etc/dex
  readOnly: true
{{- if not (include "dex.mounts" (list . "/tmp")) }}
- name: dex-tmp
  mountPath: /tmp
{{- end }}
{{- if and .Values.https.existingSecret (include "dex.servesHTTPS" .) }}
- name: dex-tls
  mountPath: /etc/dex-tls
  readOnly: true
{{- end }}
{{- if .Values.persistence.enabled }}
- name: dex-data
  mountPath: {{ .Values.persistence.mountPath | quote }}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dex.volumes" }}
- name: config
  secret:
    secretName: {{ include "dex.configSecretName" . | quote }}
{{- if not (include "dex.mounts" (list . "/tmp")) }}
- name: dex-tmp
  emptyDir: {}
{{- end }}
{{- if and .Values.https.existingSecret (include "dex.servesHTTPS" .) }}
- name: dex-tls
  secret:
    secretName: {{ .Values.https.existingSecret | quote }}
{{- end }}
{{- if .Values.persistence.enabled }}
- name: dex-data
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim | default (include "dex.fullname" .) | quote }}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Not empty if the values mount something at a path. */}}
{{- define "dex.mounts" -}}
{{- $path := last . }}
{{- range (first .).Values.volumeMounts }}
{{- if eq (trimSuffix "/" .mountPath) $path }}yes{{ end }}
{{- end }}
{{- end }}

{{/* The ports that are open: their names, the container's numbers, and the Service's settings. */}}
{{- define "dex.ports" -}}
{{- with .Values.service.ports }}
{{- if include "dex.servesHTTP" $ }}
- {name: http, container: 5556, port: {{ .http.port }}, nodePort: {{ .http.nodePort | default "null" }}, appProtocol: http}
{{- end }}
{{- if include "dex.servesHTTPS" $ }}
- {name: https, container: 5554, port: {{ .https.port }}, nodePort: {{ .https.nodePort | default "null" }}, appProtocol: https}
{{- end }}
{{- if $.Values.grpc.enabled }}
- {name: grpc, container: 5557, port: {{ .grpc.port }}, nodePort: {{ .grpc.nodePort | default "null" }}, appProtocol: {{ .grpc.appProtocol | default (($.Values.config.grpc).tlsCert | empty | ternary "kubernetes.io/h2c" "https") | quote }}}
{{- end }}
- {name: telemetry, container: 5558, port: 5558, nodePort: null, appProtocol: http}
{{- end }}
{{- end }}
