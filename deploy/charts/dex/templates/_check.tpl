{{/* Refuses values that would render, but not work. Each message says what to do. */}}
{{- define "dex.check" -}}
{{- include "dex.check.config" . }}
{{- include "dex.check.replicas" . }}
{{- include "dex.check.https" . }}
{{- include "dex.check.persistence" . }}
{{- with .Values.podDisruptionBudget }}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) }}
{{- fail "\n\npodDisruptionBudget: set minAvailable or maxUnavailable, not both" }}
{{- end }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "\n\nhttpRoute.parentRefs: name the Gateway, for example [{name: public, namespace: gateways}]" }}
{{- end }}
{{- end }}

{{- define "dex.check.config" -}}
{{- if .Values.configSecret.create }}
{{- if not .Values.config.issuer }}
{{- fail "\n\nconfig.issuer is missing: set the public URL of Dex, for example https://id.example.com/dex, or name a Secret of yours (configSecret.create: false, configSecret.name)" }}
{{- end }}
{{- if not (.Values.config.storage).type }}
{{- fail "\n\nconfig.storage.type is missing: set kubernetes, postgres, mysql, etcd, sqlite3 or memory. To keep everything in the cluster: storage: {type: kubernetes, config: {inCluster: true}}" }}
{{- end }}
{{- $type := include "dex.storageType" . }}
{{- if not (has $type (list "" "kubernetes" "postgres" "mysql" "etcd" "sqlite3" "memory")) }}
{{- fail (printf "\n\nconfig.storage.type: %q is unknown; set kubernetes, postgres, mysql, etcd, sqlite3 or memory" $type) }}
{{- end }}
{{- $storage := (.Values.config.storage).config }}
{{- if and (eq $type "kubernetes") (not ($storage).inCluster) (not ($storage).kubeConfigFile) }}
{{- fail "\n\nconfig.storage.config: set inCluster: true, or kubeConfigFile for another cluster" }}
{{- end }}
{{- else if not .Values.configSecret.name }}
{{- fail "\n\nconfigSecret.name is missing: with configSecret.create: false it names the Secret whose key config.yaml is the configuration" }}
{{- end }}
{{- end }}

{{- define "dex.check.replicas" -}}
{{- if include "dex.storesForOnePod" . }}
{{- $type := include "dex.storageType" . }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) 1) }}
{{- fail (printf "\n\nautoscaling: pods can't share the storage %s, so logins would fail. Use kubernetes, postgres, mysql or etcd, or set autoscaling.enabled: false" $type) }}
{{- else if and (not .Values.autoscaling.enabled) (gt (int .Values.replicaCount) 1) }}
{{- fail (printf "\n\nreplicaCount: pods can't share the storage %s, so logins would fail. Use kubernetes, postgres, mysql or etcd, or set replicaCount: 1" $type) }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "\n\nautoscaling.minReplicas must not be more than autoscaling.maxReplicas" }}
{{- end }}
{{- end }}

{{- define "dex.check.https" -}}
{{- if .Values.configSecret.create }}
{{- $web := .Values.config.web | default dict }}
{{- if and (include "dex.servesHTTPS" .) (not .Values.https.existingSecret) (not (and $web.tlsCert $web.tlsKey)) }}
{{- fail "\n\nhttps: there is no certificate. Set https.existingSecret to a Secret of the type kubernetes.io/tls, or config.web.tlsCert and config.web.tlsKey to mounted files" }}
{{- end }}
{{- if and .Values.https.only $web.http }}
{{- fail "\n\nhttps.only: remove config.web.http, which would listen for plain HTTP" }}
{{- end }}
{{- end }}
{{- if and (eq .Values.ingress.servicePort "https") (not (include "dex.servesHTTPS" .)) }}
{{- fail "\n\ningress.servicePort: https needs https.enabled: true" }}
{{- end }}
{{- if and (eq .Values.ingress.servicePort "http") .Values.https.only }}
{{- fail "\n\ningress.servicePort: http is off, because https.only is set" }}
{{- end }}
{{- end }}

{{- define "dex.check.persistence" -}}
{{- if and .Values.persistence.enabled .Values.configSecret.create }}
{{- if ne (include "dex.storageType" .) "sqlite3" }}
{{- fail "\n\npersistence: only config.storage.type sqlite3 keeps a file; set persistence.enabled: false" }}
{{- end }}
{{- $folder := printf "%s/" (trimSuffix "/" .Values.persistence.mountPath) }}
{{- $file := ((.Values.config.storage).config).file | default "" | trimPrefix "file:" }}
{{- if not (or (hasPrefix $folder $file) (contains "{{" $file)) }}
{{- fail (printf "\n\npersistence: config.storage.config.file must be on the volume, for example %sdex.db" $folder) }}
{{- end }}
{{- end }}
{{- end }}
