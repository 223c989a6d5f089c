{{- define "dex.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "dex.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "dex.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "dex.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dex.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "dex.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "dex.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object in the release's namespace. */}}
{{- define "dex.metadata" -}}
name: {{ include "dex.fullname" . | quote }}
namespace: {{ include "dex.namespace" . | quote }}
labels:
  {{- include "dex.labels" . | nindent 2 }}
{{- end }}

{{- define "dex.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "dex.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "dex.configSecretName" -}}
{{- .Values.configSecret.name | default (include "dex.fullname" .) }}
{{- end }}

{{- define "dex.image" -}}
{{- $repository := tpl .Values.image.repository . }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository (tpl .Values.image.digest .) }}
{{- else }}
{{- printf "%s:%s" $repository (tpl .Values.image.tag . | default (printf "v%s" .Chart.AppVersion)) }}
{{- end }}
{{- end }}

{{/* The type of the storage; empty if the chart can't know it: if the Secret isn't its own, or the image fills the type in. */}}
{{- define "dex.storageType" -}}
{{- if .Values.configSecret.create }}
{{- $type := (.Values.config.storage).type | default "" }}
{{- if not (contains "{{" $type) }}{{ $type }}{{ end }}
{{- else }}
{{- .Values.configSecret.storageType }}
{{- end }}
{{- end }}

{{/* Not empty if the storage is, or may be, custom resources. */}}
{{- define "dex.storesInKubernetes" -}}
{{- if has (include "dex.storageType" .) (list "kubernetes" "") }}yes{{ end }}
{{- end }}

{{/* Not empty if clients, users and connectors may be custom resources that people write. */}}
{{- define "dex.readsResources" -}}
{{- if and .Values.configSecret.create ((.Values.config.kubernetes).resources).inCluster }}yes{{ end }}
{{- end }}

{{/* Not empty if callers of the management API show tokens of this cluster's service accounts, which Dex has the cluster check. */}}
{{- define "dex.reviewsTokens" -}}
{{- if and .Values.configSecret.create (not (.Values.config.api).kubeConfigFile) }}
{{- range (.Values.config.api).access }}{{ if .serviceAccount }}yes{{ end }}{{ end }}
{{- end }}
{{- end }}

{{/* Not empty if the storage can't be shared by pods. */}}
{{- define "dex.storesForOnePod" -}}
{{- if has (include "dex.storageType" .) (list "memory" "sqlite3") }}yes{{ end }}
{{- end }}

{{/* Whether pods get the token of their account, as true or false. */}}
{{- define "dex.automountToken" -}}
{{- if kindIs "bool" .Values.serviceAccount.automountToken }}
{{- .Values.serviceAccount.automountToken }}
{{- else }}
{{- or (include "dex.storesInKubernetes" . | empty | not) (include "dex.readsResources" . | empty | not) (include "dex.reviewsTokens" . | empty | not) (contains "/secrets/kubernetes.io/serviceaccount" (toYaml .Values.config)) }}
{{- end }}
{{- end }}

{{- define "dex.servesHTTP" -}}
{{- if not .Values.https.only }}yes{{ end }}
{{- end }}

{{- define "dex.servesHTTPS" -}}
{{- if or .Values.https.enabled .Values.https.only }}yes{{ end }}
{{- end }}

{{/* The name of the Service's port that proxies use. */}}
{{- define "dex.webPort" -}}
{{- if include "dex.servesHTTP" . }}http{{ else }}https{{ end }}
{{- end }}

{{/* The host and the path of the issuer; empty if the chart can't know them. */}}
{{- define "dex.issuerHost" -}}
{{- with .Values.config.issuer }}
{{- if and $.Values.configSecret.create (not (contains "{{" .)) }}{{ (urlParse .).hostname }}{{ end }}
{{- end }}
{{- end }}

{{- define "dex.issuerPath" -}}
{{- with .Values.config.issuer }}
{{- if and $.Values.configSecret.create (not (contains "{{" .)) }}{{ (urlParse .).path | trimSuffix "/" }}{{ end }}
{{- end }}
{{- end }}

{{/*
The configuration file: `config` with the listeners, so that the file is complete and dex check accepts it, and with where the
certificate is mounted. What is set in `config` stays, but the arguments of the container win over listeners.
*/}}
{{- define "dex.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $web := $config.web | default dict }}
{{- $telemetry := $config.telemetry | default dict }}
{{- $listeners := dict }}
{{- if include "dex.servesHTTP" . }}
{{- $_ := set $listeners "http" "0.0.0.0:5556" }}
{{- end }}
{{- if include "dex.servesHTTPS" . }}
{{- $_ := set $listeners "https" "0.0.0.0:5554" }}
{{- if and .Values.https.existingSecret (not (or $web.tlsCert $web.tlsKey)) }}
{{- $_ := set $listeners "tlsCert" "/etc/dex-tls/tls.crt" }}
{{- $_ := set $listeners "tlsKey" "/etc/dex-tls/tls.key" }}
{{- end }}
{{- end }}
{{- $_ := set $config "web" (merge $web $listeners) }}
{{- $_ := set $config "telemetry" (merge $telemetry (dict "http" "0.0.0.0:5558")) }}
{{- toYaml $config }}
{{- end }}

{{/* An entry of `env` as text: numbers as they are written, without an exponent. */}}
{{- define "dex.envValue" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ toJson . | quote }}{{ end }}
{{- end }}
