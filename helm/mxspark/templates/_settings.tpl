{{/*
The settings file that the driver is started with: the value `job`, and the values that are settings. It computes nothing else;
Spark's configuration comes from it in mxspark itself, as it does for every other way of starting.
*/}}
{{- define "mxspark.settings" -}}
{{- $values := .Values -}}
{{- $executor := $values.executor -}}
{{- $settings := deepCopy $values.job -}}
{{- $_ := set $settings "context" $values.context -}}
{{- with $values.monitoring.metricsPort }}{{ $_ := set $settings "metrics" (dict "port" (int64 .)) }}{{ end -}}
{{- $storage := $settings.storage | default dict -}}
{{- include "mxspark.put" (list $storage "endpoint_url" $values.s3.endpoint) -}}
{{- include "mxspark.put" (list $storage "region" $values.s3.region) -}}
{{- include "mxspark.put" (list $settings "storage" $storage) -}}

{{- $spark := dict
  "master" (include "mxspark.constants" . | fromYaml).master
  "app_name" (include "mxspark.name" .)
  "driver_memory" $values.driver.memory
  "driver_memory_overhead" $values.driver.memoryOverhead
  "driver_cores" $values.driver.cores
  "executors" $executor.count
  "executor_memory" $executor.memory
  "executor_cores" $executor.cores
  "task_cpus" $executor.taskCpus -}}
{{- include "mxspark.put" (list $spark "executor_memory_overhead" $executor.memoryOverhead) -}}
{{- include "mxspark.put" (list $spark "executor_gpus" $values.gpu.perExecutor) -}}
{{- with $values.dynamicAllocation -}}
  {{- if .enabled -}}
    {{- $dynamic := dict "enabled" true "min_executors" .minExecutors "idle_seconds" .idleSeconds -}}
    {{- include "mxspark.put" (list $dynamic "max_executors" .maxExecutors) -}}
    {{- $_ := set $spark "dynamic_allocation" $dynamic -}}
  {{- end -}}
{{- end -}}
{{- include "mxspark.put" (list $spark "conf" (include "mxspark.sparkConf" . | fromYaml)) -}}
{{- $_ := set $settings "spark" $spark -}}

{{- $pod := dict "termination_grace_seconds" $executor.terminationGracePeriodSeconds -}}
{{- include "mxspark.put" (list $pod "node_selector" $executor.nodeSelector) -}}
{{- include "mxspark.put" (list $pod "tolerations" (include "mxspark.executorTolerations" . | fromYamlArray)) -}}
{{- include "mxspark.put" (list $pod "affinity" $executor.affinity) -}}
{{- include "mxspark.put" (list $pod "priority_class" $executor.priorityClassName) -}}
{{- include "mxspark.put" (list $pod "labels" (merge dict $executor.labels $values.jobLabels $values.commonLabels)) -}}
{{- include "mxspark.put" (list $pod "annotations" $executor.annotations) -}}
{{- include "mxspark.put" (list $pod "cpu_request" (include "mxspark.string" ($executor.cpuRequest | default ""))) -}}
{{- include "mxspark.put" (list $pod "cpu_limit" (include "mxspark.string" ($executor.cpuLimit | default ""))) -}}
{{- include "mxspark.put" (list $pod "template" (include "mxspark.executorTemplate" . | fromYaml)) -}}

{{- $local := dict "size" $values.localDirectory.size "request" $values.localDirectory.request -}}
{{- include "mxspark.put" (list $local "storage_class" $values.localDirectory.storageClass) -}}
{{- include "mxspark.put" (list $local "host_path" $values.localDirectory.hostPath) -}}
{{- $kubernetes := dict
  "namespace" .Release.Namespace
  "image" (include "mxspark.image" .)
  "image_pull_policy" $values.image.pullPolicy
  "service_account" (include "mxspark.serviceAccount" .)
  "local_directory" $local
  "executor" $pod -}}
{{- /* With a schedule, or where nobody prunes, two Jobs may exist side by side, and no selector tells their drivers apart: executors use the pod's address. */ -}}
{{- if not (or $values.schedule $values.gitops) -}}
  {{- $_ := set $kubernetes "driver_service" (printf "%s-driver" (include "mxspark.name" .)) -}}
{{- end -}}
{{- include "mxspark.put" (list $kubernetes "image_pull_secrets" $values.imagePullSecrets) -}}
{{- include "mxspark.put" (list $kubernetes "labels" $values.jobLabels) -}}
{{- include "mxspark.put" (list $kubernetes "executor_service_account" ($executor.serviceAccountName | default (include "mxspark.executorAccount" .))) -}}
{{- include "mxspark.put" (list $kubernetes "credentials_from" $values.s3.secretName) -}}
{{- if gt (int64 $values.gpu.perExecutor) 0 -}}
  {{- $_ := set $kubernetes "gpu_vendor" $values.gpu.vendor -}}
  {{- $_ := set $kubernetes "gpu_discovery" $values.gpu.discoveryScript -}}
{{- end -}}
{{- $_ := set $settings "kubernetes" $kubernetes -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* Spark properties besides those that mxspark computes; the user's override them. */}}
{{- define "mxspark.sparkConf" -}}
{{- $conf := dict -}}
{{- with .Values.monitoring.eventLog -}}
  {{- $_ := set $conf "spark.eventLog.enabled" "true" -}}
  {{- $_ := set $conf "spark.eventLog.dir" . -}}
  {{- /* As boto3 finds them: the secret's variables, a web identity, the node's own. */ -}}
  {{- $_ := set $conf "spark.hadoop.fs.s3a.aws.credentials.provider" "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider" -}}
  {{- include "mxspark.put" (list $conf "spark.hadoop.fs.s3a.endpoint" $.Values.s3.endpoint) -}}
  {{- include "mxspark.put" (list $conf "spark.hadoop.fs.s3a.path.style.access" (ternary "true" "" (not (empty $.Values.s3.endpoint)))) -}}
  {{- include "mxspark.put" (list $conf "spark.hadoop.fs.s3a.endpoint.region" $.Values.s3.region) -}}
{{- end -}}
{{- $monitoring := .Values.monitoring -}}
{{- /* Annotations name one port only: the metrics' own, where there is one. */ -}}
{{- if or (and $monitoring.prometheus.annotations (not $monitoring.metricsPort)) $monitoring.prometheus.podMonitor.enabled -}}
  {{- $_ := set $conf "spark.ui.prometheus.enabled" "true" -}}
{{- end -}}
{{- range $key, $value := .Values.sparkConf -}}
  {{- $_ := set $conf $key (include "mxspark.string" $value) -}}
{{- end -}}
{{- toYaml $conf -}}
{{- end -}}

{{- define "mxspark.executorTolerations" -}}
{{- $spot := ternary .Values.spot.tolerations list .Values.spot.enabled -}}
{{- toYaml (concat .Values.executor.tolerations $spot) -}}
{{- end -}}

{{/* The user's template. mxspark gives executors a user, which `null` takes away again. */}}
{{- define "mxspark.executorTemplate" -}}
{{- $none := dict "runAsUser" nil "runAsGroup" nil "fsGroup" nil -}}
{{- $template := ternary (dict "spec" (dict "securityContext" $none)) dict .Values.openshift -}}
{{- include "mxspark.merge" (list $template (include "mxspark.podTemplate" (list . "executor") | fromYaml)) -}}
{{- toYaml $template -}}
{{- end -}}
