{{/* The driver's pod, and the parts that the pods of `helm test` have in common with it. */}}

{{- define "mxspark.podSecurity" -}}
runAsNonRoot: true
{{- if not .Values.openshift }}
# Spark's user, as in the image
runAsUser: 185
runAsGroup: 185
fsGroup: 185
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "mxspark.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "mxspark.credentials" -}}
{{- with .Values.s3.secretName }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: AWS_ACCESS_KEY_ID}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: AWS_SECRET_ACCESS_KEY}}
- name: AWS_SESSION_TOKEN
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: AWS_SESSION_TOKEN, optional: true}}
{{- end }}
{{- end -}}

{{/* Where a pod with a read-only root file system writes: temporary files, and the home with the model cache. */}}
{{- define "mxspark.mounts" -}}
- name: settings
  mountPath: /etc/mxspark
  readOnly: true
- name: local
  mountPath: /tmp
  subPath: tmp
- name: local
  mountPath: /opt/spark/work-dir
  subPath: work
{{- end -}}

{{- define "mxspark.settingsVolume" -}}
- name: settings
  configMap:
    name: {{ include "mxspark.name" . }}-settings
{{- end -}}

{{- define "mxspark.localVolume" -}}
- name: local
  emptyDir:
    sizeLimit: {{ .Values.localDirectory.size | quote }}
{{- end -}}

{{- define "mxspark.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Which nodes: of the value `driver` or `executor`. */}}
{{- define "mxspark.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
Over the nodes where that can be, (list root values): so that one that is lost takes little with it; not where the user says who goes where.
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
What a pod asks for, (list root values cpus memory): `values` are the value `driver` or `executor`, `cpus` the default of its cpuRequest, `memory`
in MiB. Requests and limits are the same for memory: a pod that may take more than it asked for is the first that a full node ends.
*/}}
{{- define "mxspark.resources" -}}
{{- $values := index . 1 -}}
requests:
  cpu: {{ include "mxspark.string" ($values.cpuRequest | default (index . 2)) | quote }}
  memory: {{ index . 3 }}Mi
  ephemeral-storage: {{ (index . 0).Values.localDirectory.request | quote }}
limits:
  cpu: {{ include "mxspark.string" ($values.cpuLimit | default $values.cores) | quote }}
  memory: {{ index . 3 }}Mi
{{- end -}}

{{- define "mxspark.driverPod" -}}
{{- $driver := .Values.driver -}}
{{- $memory := add (include "mxspark.mebibytes" $driver.memory) (include "mxspark.mebibytes" $driver.memoryOverhead) -}}
metadata:
  labels:
    {{- include "mxspark.podLabels" (list . "driver" $driver.labels) | nindent 4 }}
  annotations:
    {{- if not (hasKey $driver.annotations "sidecar.istio.io/nativeSidecar") }}
    sidecar.istio.io/nativeSidecar: "true"
    {{- end }}
    {{- if or .Values.schedule .Values.gitops }}
    mxspark/settings: {{ include "mxspark.settings" . | quote }}
    {{- else }}
    {{- /* Other settings are another pod, and so another Job. */}}
    checksum/settings: {{ include "mxspark.settings" . | sha256sum | quote }}
    {{- end }}
    {{- if .Values.monitoring.prometheus.annotations }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "4040"
    prometheus.io/path: /metrics/executors/prometheus
    {{- end }}
    {{- with $driver.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "mxspark.serviceAccount" . | quote }}
  # The only pod that asks for something of Kubernetes: it starts the executors.
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
      args: [run, --settings, /etc/mxspark/settings.yaml, --yes]
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: POD_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        - name: POD_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        {{- if and .Values.gitops (not .Values.schedule) }}
        # The same for each Job with these settings: one that is made again goes on, although output.overwrite is set.
        - name: MXSPARK_OUTPUT__SUBMISSION
          value: {{ printf "%s/%s/%s" .Release.Namespace .Release.Name (include "mxspark.settings" . | sha256sum | trunc 16) | quote }}
        {{- else }}
        # The same for all pods of one Job: a driver that is started again goes on with what it began, although output.overwrite is set.
        - name: MXSPARK_OUTPUT__SUBMISSION
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}
        {{- end }}
        {{- include "mxspark.credentials" . | nindent 8 }}
      ports:
        - {name: driver-rpc, containerPort: 7078, protocol: TCP}
        - {name: blockmanager, containerPort: 7079, protocol: TCP}
        - {name: ui, containerPort: 4040, protocol: TCP}
      resources:
        {{- include "mxspark.resources" (list . $driver $driver.cores $memory) | nindent 8 }}
      securityContext:
        {{- include "mxspark.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "mxspark.mounts" . | nindent 8 }}
  volumes:
    {{- if or .Values.schedule .Values.gitops }}
    # Settings of the run's own: an upgrade changes the ConfigMap, but a driver that is started again goes on as its run began.
    - name: settings
      downwardAPI:
        items:
          - path: settings.yaml
            fieldRef: {fieldPath: "metadata.annotations['mxspark/settings']"}
    {{- else }}
    {{- include "mxspark.settingsVolume" . | nindent 4 }}
    {{- end }}
    {{- include "mxspark.localVolume" . | nindent 4 }}
{{- end -}}

{{/*
Containers beside the first end with it (init containers with restartPolicy Always): beside one that runs on, the pod would never end, nor
the Job, and no driver would be started again.
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

{{/* The Job's spec, for the Job itself or the CronJob. */}}
{{- define "mxspark.jobSpec" -}}
{{- $pod := include "mxspark.driverPod" . | fromYaml -}}
{{- with $pod.Error }}{{ fail . }}{{ end -}}
{{- include "mxspark.merge" (list $pod (pick .Values.driver.podTemplate "metadata" "spec")) -}}
{{- include "mxspark.nativeSidecars" $pod.spec -}}
backoffLimit: {{ .Values.restarts }}
{{- with .Values.deadlineSeconds }}
activeDeadlineSeconds: {{ int64 . }}
{{- end }}
{{- if not (kindIs "invalid" .Values.ttlSeconds) }}
ttlSecondsAfterFinished: {{ int64 .Values.ttlSeconds }}
{{- end }}
podFailurePolicy:
  rules:
    # Wrong settings (2) and too many bad images (3) are the same the next time.
    - action: FailJob
      onExitCodes:
        containerName: driver
        operator: In
        values: [2, 3]
    # A pod that was evicted, or whose node was drained, is started again however often that happens.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
template:
  {{- toYaml $pod | nindent 2 }}
{{- end -}}

{{/*
The Job's name ends in a hash of its pod. A Job's pod can't be changed, so changed values make another Job and Helm removes the one before;
unchanged ones leave the Job alone, whether it runs or has ended. (The number of the revision would start it again with every upgrade.)
*/}}
{{- define "mxspark.jobName" -}}
{{- $spec := include "mxspark.jobSpec" . | fromYaml -}}
{{- printf "%s-%s" (include "mxspark.name" .) (pick $spec "template" "podFailurePolicy" | toJson | sha256sum | trunc 8) -}}
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
