{{/* What works, but perhaps not as intended: a list of sentences, for NOTES.txt. */}}
{{- define "dex.warnings" -}}
{{- $type := include "dex.storageType" . }}
{{- $several := or (and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) 1)) (gt (int .Values.replicaCount) 1) }}
{{- $host := include "dex.issuerHost" . }}
{{- if eq $type "memory" }}
- "The storage memory loses everything whenever the pod restarts: users sign in again, and applications learn new keys. Use it for trials only."
{{- else if and (eq $type "sqlite3") (not .Values.persistence.enabled) (not .Values.volumes) }}
- "SQLite's file is not on a volume and is lost whenever the pod restarts. Set persistence.enabled."
{{- else if and (eq $type "") $several }}
- "The chart doesn't know your configuration's storage. Several pods need kubernetes, postgres, mysql or etcd."
{{- end }}
{{- if and (eq $type "kubernetes") (not .Values.crds.create) (not .Values.rbac.createClusterScoped) }}
- "The definitions of the custom resources must be there already: the chart doesn't create them, and Dex may not."
{{- end }}
{{- if and .Values.podDisruptionBudget.enabled (not $several) (eq (toString .Values.podDisruptionBudget.minAvailable) "1") }}
- "The only pod must stay available (podDisruptionBudget.minAvailable: 1), so nodes can't be drained. Use more pods, or maxUnavailable."
{{- end }}
{{- if and .Values.ingress.enabled $host }}
{{- $hosts := list }}
{{- range .Values.ingress.hosts }}{{ $hosts = append $hosts (tpl (.host | default $host) $) }}{{ end }}
{{- if not (has $host $hosts) }}
- {{ printf "The Ingress is for %s, but the issuer's host is %s: it won't be reached there." (join ", " $hosts) $host | quote }}
{{- end }}
{{- end }}
{{- if and .Values.configSecret.create (or .Values.ingress.enabled .Values.httpRoute.enabled) (not ((.Values.config.web).clientRemoteIP).header) }}
- "Behind a proxy Dex sees one address for all users, and counts their guesses at passwords as one person's. Set config.web.clientRemoteIP, see docs/kubernetes.md."
{{- end }}
{{- if hasPrefix "http://" (.Values.config.issuer | default "") }}
- "The issuer begins with http://: browsers and applications would send passwords and tokens in clear. Use https:// except for trials."
{{- end }}
{{- if and .Values.grpc.enabled .Values.configSecret.create }}
{{- $grpc := .Values.config.grpc | default dict }}
{{- if not (or $grpc.tlsClientCA (.Values.config.api).access (.Values.config.api).adminTokens) }}
{{- if $grpc.insecureAnonymous }}
- "The management API lets whoever reaches it change clients and users. Keep its port within the cluster, and see networkPolicy.grpcFrom."
{{- else }}
- "The management API can't be reached from outside of the pod, as nothing says who may call it. Set config.api.access or config.grpc.tlsClientCA, see docs/api.md."
{{- end }}
{{- else if not $grpc.tlsCert }}
- "The management API is not encrypted: tokens and secrets can be read on the way. Set config.grpc.tlsCert and config.grpc.tlsKey."
{{- end }}
{{- end }}
{{- end }}
