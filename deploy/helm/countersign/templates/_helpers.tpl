{{- /* Names. Called with the root; those with a component, with (dict "root" $ "component" "web"). */ -}}
{{- define "countersign.name" -}}
{{- $name := ternary .Release.Name (printf "%s-countersign" .Release.Name) (contains "countersign" .Release.Name) -}}
{{- trunc 52 $name | trimSuffix "-" }}
{{- end }}

{{- define "countersign.selector" -}}
app.kubernetes.io/name: countersign
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "countersign.labels" -}}
{{ include "countersign.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: countersign
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "countersign.metadata" -}}
name: {{ include "countersign.name" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "countersign.labels" . | nindent 2 }}
{{- end }}

{{- define "countersign.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}

{{- define "countersign.host" -}}
{{ (urlParse .Values.siteUrl).hostname }}
{{- end }}

{{- define "countersign.mlflowPort" -}}
{{- $address := urlParse .Values.mlflow.trackingUri -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $address.host) | default (ternary "443" "80" (eq $address.scheme "https")) -}}
{{- end }}

{{- /* A secret by its name in files/processes.json: each of several providers has its own, as COUNTERSIGN_OIDC_CORP_…. */ -}}
{{- define "countersign.known" -}}
{{- regexReplaceAll "^COUNTERSIGN_OIDC_[A-Z][A-Z0-9_]*_CLIENT_SECRET$" . "COUNTERSIGN_OIDC_CLIENT_SECRET" -}}
{{- end }}

{{- /* Where a process takes its secrets from: JSON, {variable: name of the Secret}. files/processes.json says what a
process may have; what is named last goes first, so that the tables' owner is the one who migrates. */ -}}
{{- define "countersign.secrets" -}}
{{- $sources := dict "web" (list "shared" "web") "gate" (list "shared" "web") "worker" (list "shared" "worker")
    "beat" (list "shared") "migrate" (list "shared" "web" "migrate") -}}
{{- $may := index (.root.Files.Get "files/processes.json" | fromJson) .component -}}
{{- $found := dict -}}
{{- range $source := index $sources .component -}}
{{- $secret := index $.root.Values.secrets $source -}}
{{- range $key := $secret.keys -}}
{{- if has (include "countersign.known" $key) $may -}}{{- $_ := set $found $key $secret.name -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{- /* Refuses a key that no process would get from where it is named: a typing error would else be a missing setting. */ -}}
{{- define "countersign.check" -}}
{{- if and .Values.gate.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.mlflow.from) -}}
{{- fail "networkPolicy.mlflow.from: name MLflow's pods, or their namespace; nothing else asks the gate." -}}
{{- end -}}
{{- if and .Values.gate.enabled (not (hasKey (include "countersign.secrets" (dict "root" . "component" "gate") | fromJson) "COUNTERSIGN_GATE_TOKEN")) -}}
{{- fail "secrets.web.keys: the gate needs COUNTERSIGN_GATE_TOKEN, which MLflow shows to it." -}}
{{- end -}}
{{- range $process := list "web" "worker" -}}
{{- if not (hasKey (include "countersign.secrets" (dict "root" $ "component" $process) | fromJson) "EMAIL_URL") -}}
{{- fail (printf "secrets.shared.keys: %s needs EMAIL_URL; else invitations and password resets reach no one." $process) -}}
{{- end -}}
{{- end -}}
{{- if .Values.metrics.serviceMonitor.enabled -}}
{{- range $process := list "web" "worker" -}}
{{- if not (hasKey (include "countersign.secrets" (dict "root" $ "component" $process) | fromJson) "COUNTERSIGN_METRICS_TOKEN") -}}
{{- fail "secrets.shared.keys: Prometheus needs COUNTERSIGN_METRICS_TOKEN, which it shows to web and worker." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $processes := .Files.Get "files/processes.json" | fromJson -}}
{{- $readers := dict "shared" (keys $processes | sortAlpha) "web" (list "web") "worker" (list "worker") "migrate" (list "migrate") -}}
{{- range $source, $secret := .Values.secrets -}}
{{- range $key := $secret.keys -}}
{{- $is := false -}}
{{- range $process := index $readers $source -}}
{{- if has (include "countersign.known" $key) (index $processes $process) -}}{{- $is = true -}}{{- end -}}
{{- end -}}
{{- if not $is -}}
{{- fail (printf "secrets.%s.keys: %s is no secret of %s." $source $key (ternary "any process" $source (eq $source "shared"))) -}}
{{- end -}}
{{- end -}}
{{- if and $secret.keys (not $secret.name) -}}
{{- fail (printf "secrets.%s.name: name the Secret that has %s." $source (join ", " $secret.keys)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "countersign.env" -}}
- name: COUNTERSIGN_SITE_URL
  value: {{ .root.Values.siteUrl | quote }}
- name: COUNTERSIGN_MLFLOW_UI_URL
  value: {{ .root.Values.mlflow.uiUrl | default .root.Values.mlflow.trackingUri | quote }}
{{- with .root.Values.mlflow.workspace }}
- name: COUNTERSIGN_MLFLOW_WORKSPACE
  value: {{ . | quote }}
{{- end }}
{{- if eq .component "worker" }}
- name: MLFLOW_TRACKING_URI
  value: {{ .root.Values.mlflow.trackingUri | quote }}
{{- end }}
{{- if not (hasKey .root.Values.settings "COUNTERSIGN_LOG_FORMAT") }}
- name: COUNTERSIGN_LOG_FORMAT
  value: json
{{- end }}
{{- if not (has .component (list "web" "worker")) }}
- name: EMAIL_URL
  value: none
{{- end }}
{{- range $name, $value := .root.Values.settings }}
{{- /* Without the proxy's secret, which is web's alone, these would not let the others start. */ -}}
{{- if or (eq $.component "web") (not (hasPrefix "COUNTERSIGN_PROXY_AUTH_" $name)) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- range $key := include "countersign.secrets" . | fromJson | keys | sortAlpha }}
- name: {{ $key }}_FILE
  value: /run/secrets/countersign/{{ $key }}
{{- end }}
{{- with (index .root.Values .component).extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "countersign.podMetadata" -}}
labels:
  {{- include "countersign.labels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* A pod of one container. With root and component comes `main`, the text of what is the container's own. */ -}}
{{- define "countersign.pod" -}}
{{- $values := index .root.Values .component -}}
{{- $secrets := include "countersign.secrets" . | fromJson -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "countersign.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    {{- .main | nindent 4 }}
    resources:
      {{- toYaml $values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: secrets, mountPath: /run/secrets/countersign, readOnly: true}
      {{- with $values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  # Nothing is kept here; in memory, so that no node keeps what passed through.
  {{- $tmp := $values.tmp | default (dict "medium" "Memory" "size" "64Mi") }}
  - name: tmp
    emptyDir: {medium: {{ $tmp.medium | quote }}, sizeLimit: {{ $tmp.size }}}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- range $name := values $secrets | uniq | sortAlpha }}
        - secret:
            name: {{ $name }}
            items:
              {{- range $key := keys $secrets | sortAlpha }}
              {{- if eq (index $secrets $key) $name }}
              - {key: {{ $key }}, path: {{ $key }}}
              {{- end }}
              {{- end }}
        {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* A Deployment: with root, component and main come replicas (none: an autoscaler has them), grace in seconds, and
whether all old pods end first. */ -}}
{{- define "countersign.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "countersign.metadata" . | nindent 2 }}
spec:
  {{- if not (kindIs "invalid" .replicas) }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  {{- if .recreate }}
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  {{- end }}
  selector:
    matchLabels:
      {{- include "countersign.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "countersign.podMetadata" . | nindent 6 }}
    spec:
      serviceAccountName: {{ include "countersign.name" .root }}
      terminationGracePeriodSeconds: {{ .grace }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "countersign.selector" . | nindent 14 }}
      {{- include "countersign.pod" . | nindent 6 }}
{{- end }}

{{- /* A web process: what people reach, or the gate. */ -}}
{{- define "countersign.served" -}}
{{- $name := printf "%s-%s" (include "countersign.name" .root) .component -}}
{{- $host := include "countersign.host" .root -}}
command: [gunicorn, --config, "python:registry_ui.gunicorn", registry_ui.wsgi]
ports:
  - {name: http, containerPort: 8000}
env:
  - name: POD_IP
    valueFrom: {fieldRef: {fieldPath: status.podIP}}
  # The Service's names, for MLflow and the test; the pod's address, by which Prometheus asks.
  - name: COUNTERSIGN_EXTRA_HOSTS
    value: {{ printf "$(POD_IP),[$(POD_IP)],%s,%s.%s,%s.%s.svc,%s.%s.svc.cluster.local" $name $name .root.Release.Namespace
      $name .root.Release.Namespace $name .root.Release.Namespace | quote }}
  - name: COUNTERSIGN_TRUSTED_PROXY_COUNT
    value: {{ ternary .root.Values.trustedProxyCount 0 (eq .component "web") | quote }}
  - name: GUNICORN_CMD_ARGS
    value: --workers={{ .processes }} --threads={{ .root.Values.web.threads }}
  {{- include "countersign.env" . | nindent 2 }}
# By the site's name: others are not answered.
startupProbe:
  httpGet: {path: /healthz, port: http, httpHeaders: [{name: Host, value: {{ $host | quote }}}]}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 40
livenessProbe:
  httpGet: {path: /healthz, port: http, httpHeaders: [{name: Host, value: {{ $host | quote }}}]}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
# 503 while the database is away or not migrated; the pages work without MLflow and broker.
readinessProbe:
  httpGet: {path: /readyz, port: http, httpHeaders: [{name: Host, value: {{ $host | quote }}}]}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
lifecycle:
  # Those who send requests here hear later than gunicorn that the pod ends.
  preStop: {exec: {command: [sleep, "5"]}}
{{- end }}

{{- /* The health checks of worker and beat; see registry_ui/alive.py for what they prove. A dead broker or database fails
none of them. */ -}}
{{- define "countersign.alive" -}}
{{- $check := printf "{command: [python, -I, registry_ui/alive.py, %s]}" . -}}
startupProbe:
  exec: {{ $check }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 24
livenessProbe:
  exec: {{ $check }}
  periodSeconds: 30
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}
