{{/* The driver's pod. */}}

{{- define "mxspark.driverPod" -}}
{{- $constants := include "mxspark.constants" . | fromYaml -}}
{{- $driver := .Values.driver -}}
{{- $memory := add (include "mxspark.mebibytes" $driver.memory) (include "mxspark.mebibytes" $driver.memoryOverhead) -}}
metadata:
  labels:
    {{- include "mxspark.podLabels" (list . "driver" .Values.jobLabels $driver.labels) | nindent 4 }}
  annotations:
    {{- if not (hasKey $driver.annotations $constants.istioNativeSidecar) }}
    {{ $constants.istioNativeSidecar }}: "true"
    {{- end }}
    {{- if or .Values.schedule .Values.gitops }}
    mxspark/settings: {{ include "mxspark.settings" . | quote }}
    {{- else }}
    {{- /* Other settings are another pod, and so another Job. */}}
    checksum/settings: {{ include "mxspark.settings" . | sha256sum | quote }}
    {{- end }}
    {{- if .Values.monitoring.prometheus.annotations }}
    prometheus.io/scrape: "true"
    {{- with .Values.monitoring.metricsPort }}
    prometheus.io/port: {{ int64 . | quote }}
    prometheus.io/path: /metrics
    {{- else }}
    prometheus.io/port: {{ $constants.ports.ui | quote }}
    prometheus.io/path: /metrics/executors/prometheus
    {{- end }}
    {{- end }}
    {{- with $driver.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "mxspark.serviceAccount" . | quote }}
  # The only pod that uses the Kubernetes API: it creates the executors.
  automountServiceAccountToken: true
  terminationGracePeriodSeconds: {{ int64 $driver.terminationGracePeriodSeconds }}
  {{- include "mxspark.pullSecrets" . | nindent 2 }}
  {{- include "mxspark.placement" $driver | nindent 2 }}
  {{- include "mxspark.spread" (list . $driver) | nindent 2 }}
  securityContext:
    {{- include "mxspark.podSecurity" . | nindent 4 }}
  containers:
    - name: driver
      image: {{ include "mxspark.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- toYaml $constants.driverArgs | nindent 8 }}
      env:
        {{- range $constants.podVariables }}
        - name: {{ .name }}
          valueFrom:
            fieldRef:
              fieldPath: {{ .fieldPath }}
        {{- end }}
        - name: {{ $constants.submissionVariable }}
          {{- if and .Values.gitops (not .Values.schedule) }}
          # The same for each Job with these settings: one that is created again resumes, although output.overwrite is set.
          value: {{ printf "%s/%s/%s" .Release.Namespace .Release.Name (include "mxspark.settings" . | sha256sum | trunc 16) | quote }}
          {{- else }}
          # The same for all pods of one Job: a restarted driver resumes its run, although output.overwrite is set.
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['{{ $constants.controllerLabel }}']
          {{- end }}
        {{- include "mxspark.credentials" . | nindent 8 }}
      ports:
        - name: driver-rpc
          containerPort: {{ $constants.ports.rpc }}
          protocol: TCP
        - name: blockmanager
          containerPort: {{ $constants.ports.blocks }}
          protocol: TCP
        - name: ui
          containerPort: {{ $constants.ports.ui }}
          protocol: TCP
        {{- with .Values.monitoring.metricsPort }}
        - name: metrics
          containerPort: {{ int64 . }}
          protocol: TCP
        {{- end }}
      resources:
        {{- include "mxspark.resources" (list . $driver $driver.cores $memory) | nindent 8 }}
      securityContext:
        {{- include "mxspark.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "mxspark.mounts" . | nindent 8 }}
  volumes:
    {{- if or .Values.schedule .Values.gitops }}
    # Settings of the run's own: an upgrade changes the ConfigMap, but a restarted driver keeps those that its run began with.
    - name: settings
      downwardAPI:
        items:
          - path: {{ $constants.settingsFile }}
            fieldRef:
              fieldPath: metadata.annotations['mxspark/settings']
    {{- else }}
    {{- include "mxspark.settingsVolume" . | nindent 4 }}
    {{- end }}
    {{- include "mxspark.localVolume" . | nindent 4 }}
{{- end -}}

{{/*
Over the nodes where possible, (list root values): so that a lost node takes little with it; not if the user sets the placement.
*/}}
{{- define "mxspark.spread" -}}
{{- $root := first . -}}
{{- with last . -}}
{{- $spec := .podTemplate.spec | default dict -}}
{{- $affinities := merge dict .affinity ($spec.affinity | default dict) -}}
{{- if not (or (hasKey $spec "topologySpreadConstraints") (hasKey $affinities "podAffinity") (hasKey $affinities "podAntiAffinity")) -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "mxspark.selector" $root | nindent 8 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Containers beside the first end with it (init containers with restartPolicy Always): beside one that keeps running, the pod would never end,
nor the Job, and no driver would be restarted.
*/}}
{{- define "mxspark.nativeSidecars" -}}
{{- $sidecars := .initContainers | default list -}}
{{- range rest .containers }}
{{- $sidecars = append $sidecars (merge (dict "restartPolicy" "Always") .) -}}
{{- end }}
{{- if rest .containers }}
{{- $_ := set . "initContainers" $sidecars -}}
{{- $_ := set . "containers" (list (first .containers)) -}}
{{- end }}
{{- end -}}

{{/*
Which pod is the driver. While an upgrade puts one Job in the place of another, both have a driver for a moment, and executors must find
their own: Kubernetes writes the Job's name on its pods.
*/}}
{{- define "mxspark.driverSelector" -}}
{{ include "mxspark.selector" . }}
app.kubernetes.io/component: driver
{{- if not .Values.schedule }}
batch.kubernetes.io/job-name: {{ include "mxspark.jobName" . | quote }}
{{- end }}
{{- end -}}
