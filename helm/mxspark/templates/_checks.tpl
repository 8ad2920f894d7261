{{/* Values that can't work together. mxspark refuses the same (settings/job.py), but only when the driver runs. */}}
{{- define "mxspark.check" -}}
{{- include "mxspark.checkJob" . -}}
{{- include "mxspark.checkPlaces" . -}}
{{- include "mxspark.checkSecrets" . -}}
{{- include "mxspark.checkProperties" . -}}
{{- include "mxspark.checkImage" . -}}
{{- include "mxspark.checkExtras" . -}}
{{- include "mxspark.checkTemplates" . -}}
{{- include "mxspark.checkGpus" . -}}
{{- include "mxspark.checkSizes" . -}}
{{- include "mxspark.checkRelease" . -}}
{{- end -}}

{{- define "mxspark.checkJob" -}}
{{- $job := .Values.job -}}
{{- $bundle := dig "model" "path" "" $job -}}
{{- $symbol := dig "model" "symbol" "" $job -}}
{{- $params := dig "model" "params" "" $job -}}
{{- if not (dig "input" "path" "" $job) -}}
  {{- fail "job.input.path is missing: set it to the images, s3://bucket/prefix" -}}
{{- end -}}
{{- if not (dig "output" "path" "" $job) -}}
  {{- fail "job.output.path is missing: set it to where the predictions go, s3://bucket/prefix" -}}
{{- end -}}
{{- if not (or $bundle (and $symbol $params)) -}}
  {{- fail "job.model.path is missing: set it to a bundle, or job.model.symbol and job.model.params to its files" -}}
{{- end -}}
{{- if and $bundle (or $symbol $params) -}}
  {{- fail "job.model.path is a bundle, which has its own symbol and params: give it, or job.model.symbol and job.model.params, not both" -}}
{{- end -}}
{{- if and (dig "output" "overwrite" false $job) (dig "output" "retry_failed" false $job) -}}
  {{- fail "job.output.overwrite restarts, job.output.retry_failed resumes: give one of them" -}}
{{- end -}}
{{- end -}}

{{/* Spark's properties: none that the chart sets, that are of a driver's pod which Spark creates, or that move its ports from what the policies open. */}}
{{- define "mxspark.checkProperties" -}}
{{- $constants := include "mxspark.constants" . | fromYaml -}}
{{- $policy := .Values.networkPolicy -}}
{{- range $key, $_ := .Values.sparkConf -}}
  {{- if has $key $constants.ownProperties -}}
    {{- fail (printf "sparkConf.%s is set by the chart itself: take it out" $key) -}}
  {{- end -}}
  {{- if regexMatch (printf "^%s$" $constants.driverProperties) $key -}}
    {{- fail (printf "sparkConf.%s would have no effect, for the chart creates the driver's pod, not Spark: set driver (memory, cores, nodeSelector, labels, annotations, podTemplate), and the same of executor" $key) -}}
  {{- end -}}
  {{- if and (or $policy.ingress $policy.enabled) (has $key $constants.portProperties) -}}
    {{- fail (printf "sparkConf.%s is given, but the network policies open only Spark's default ports: take it out, or set networkPolicy.ingress and networkPolicy.enabled to false" $key) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* extraEnv, extraVolumes and extraVolumeMounts: each entry has a name of its own, which isn't the chart's. */}}
{{- define "mxspark.checkExtras" -}}
{{- $places := list "/etc/mxspark" -}}
{{- range (include "mxspark.constants" . | fromYaml).localMounts -}}
  {{- $places = append $places .mountPath -}}
{{- end -}}
{{- $own := dict "extraVolumes" (list "settings" "local") "extraVolumeMounts" $places "extraEnv" list -}}
{{- range $value, $key := dict "extraEnv" "name" "extraVolumes" "name" "extraVolumeMounts" "mountPath" -}}
  {{- $seen := list -}}
  {{- range $number, $entry := get $.Values $value -}}
    {{- $name := get ($entry | default dict) $key -}}
    {{- if not (and $name (get $entry "name")) -}}
      {{- fail (printf "%s.%d has no %s: give it one" $value $number (ternary $key "name" (not $name))) -}}
    {{- end -}}
    {{- $name = trimSuffix "/" $name -}}
    {{- if has $name (get $own $value) -}}
      {{- fail (printf "%s.%d: %s is the chart's own: give it another %s" $value $number $name $key) -}}
    {{- end -}}
    {{- if and (eq $value "extraEnv") (hasPrefix "MXSPARK_" $name) -}}
      {{- fail (printf "extraEnv.%d: %s makes a setting, over what job says: set it under job" $number $name) -}}
    {{- end -}}
    {{- if has $name $seen -}}
      {{- fail (printf "%s has two entries with the %s %s: take one out" $value $key $name) -}}
    {{- end -}}
    {{- $seen = append $seen $name -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "mxspark.checkImage" -}}
{{- $tag := .Values.image.tag -}}
{{- if not (or (kindIs "string" $tag) (kindIs "invalid" $tag)) -}}
  {{- fail (printf "image.tag is the number %v, which may not be what was written (1.0 is the number 1): quote it, tag: \"1.0\", or give it by --set-string" $tag) -}}
{{- end -}}
{{- end -}}

{{/* Pod templates: nothing in them that would have no effect, or keep the pod from being found or the Job from ending. */}}
{{- define "mxspark.checkTemplates" -}}
{{- $constants := include "mxspark.constants" . | fromYaml -}}
{{- $driver := .Values.driver.podTemplate -}}
{{- $executor := .Values.executor.podTemplate -}}
{{- if and (rest (dig "spec" "containers" (list dict) $driver)) (semverCompare "<1.29-0" .Capabilities.KubeVersion.Version) -}}
  {{- fail (printf "driver.podTemplate has a container beside the driver, which Kubernetes %s does not end with it, so that the Job would never end: take it out, or upgrade the cluster to 1.29" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- $decommissions := ne (toString (get .Values.sparkConf "spark.decommission.enabled")) "false" -}}
{{- range $path, $hint := $constants.writtenBySpark -}}
  {{- $given := include "mxspark.at" (list $executor $path) -}}
  {{- if and $given (or $decommissions (not (hasSuffix ".lifecycle" $path))) -}}
    {{- fail (printf "executor.podTemplate.%s would have no effect, for Spark writes its own over it: %s" $path $hint) -}}
  {{- end -}}
{{- end -}}
{{- range $role, $template := dict "driver" $driver "executor" $executor -}}
  {{- range $constants.ownLabels -}}
    {{- if hasKey (($template.metadata | default dict).labels | default dict) . -}}
      {{- fail (printf "%s.podTemplate.metadata.labels has %s, by which network policies and services find the pod: take it out" $role .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* By list (value, dotted path): what is there, as a string, empty where there is nothing; any number is the first of a list. */}}
{{- define "mxspark.at" -}}
{{- $at := dict "value" (first .) -}}
{{- range $key := last . | splitList "." -}}
  {{- if kindIs "map" $at.value -}}
    {{- $_ := set $at "value" (get $at.value $key | default "") -}}
  {{- else if kindIs "slice" $at.value -}}
    {{- $_ := set $at "value" (first $at.value | default "") -}}
  {{- else -}}
    {{- $_ := set $at "value" "" -}}
  {{- end -}}
{{- end -}}
{{- toString $at.value -}}
{{- end -}}

{{- define "mxspark.checkGpus" -}}
{{- $nvidia := (include "mxspark.constants" . | fromYaml).nvidia -}}
{{- $gpus := int64 .Values.gpu.perExecutor -}}
{{- $workers := div .Values.executor.cores .Values.executor.taskCpus -}}
{{- if and (eq .Values.context "gpu") (not $gpus) (not (hasKey .Values.sparkConf "spark.executor.resource.gpu.amount")) -}}
  {{- fail "context is gpu, but gpu.perExecutor is 0: executors would get no GPU. Set gpu.perExecutor to 1" -}}
{{- end -}}
{{- if and (eq .Values.context "cpu") $gpus -}}
  {{- fail (printf "gpu.perExecutor is %d, but context is cpu: set context to gpu, or ask for none" $gpus) -}}
{{- end -}}
{{- if and (ne .Values.gpu.vendor $nvidia.vendor) (eq .Values.gpu.discoveryScript $nvidia.discoveryScript) -}}
  {{- fail (printf "gpu.vendor is %s, but the script gpu.discoveryScript finds NVIDIA's GPUs only: name one in the image that finds that vendor's" .Values.gpu.vendor) -}}
{{- end -}}
{{- if and (gt $gpus $workers) (gt $workers 0) -}}
  {{- fail (printf "gpu.perExecutor is %d, one worker for each, but executor.cores %d are enough for %d: give more cores, or fewer GPUs" $gpus (int64 .Values.executor.cores) $workers) -}}
{{- end -}}
{{- end -}}

{{/* CPUs, memory, and how many executors. */}}
{{- define "mxspark.checkSizes" -}}
{{- $least := (include "mxspark.constants" . | fromYaml).minMebibytes -}}
{{- $cores := int64 .Values.executor.cores -}}
{{- $taskCpus := int64 .Values.executor.taskCpus -}}
{{- if gt $taskCpus $cores -}}
  {{- fail (printf "executor.taskCpus is %d, but executor.cores only %d: no executor could run a task" $taskCpus $cores) -}}
{{- end -}}
{{- range $role := list "driver" "executor" -}}
  {{- with get $.Values $role -}}
    {{- $request := ternary "cpuRequest" "cores" (not (empty .cpuRequest)) -}}
    {{- $limit := ternary "cpuLimit" "cores" (not (empty .cpuLimit)) -}}
    {{- if gt (include "mxspark.millicores" (get . $request) | float64) (include "mxspark.millicores" (get . $limit) | float64) -}}
      {{- fail (printf "%s.%s is %s, more than %s.%s, %s: a pod can't ask for more CPUs than it may use" $role $request (get . $request | include "mxspark.string") $role $limit (get . $limit | include "mxspark.string")) -}}
    {{- end -}}
    {{- if lt (include "mxspark.kibibytes" .memory | int64) (mul $least.java 1024) -}}
      {{- fail (printf "%s.memory is %s, but Spark's Java asks for %.0fm at least" $role .memory $least.java) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $workers := include "mxspark.workers" . | int64 -}}
{{- $overhead := include "mxspark.executorOverhead" . -}}
{{- if lt (include "mxspark.kibibytes" $overhead | int64) (mul $workers $least.worker 1024) -}}
  {{- fail (printf "executor.memoryOverhead is %s for %d workers, of which each needs %.0fm at least, more for large networks: raise it, or give the executor fewer cores" $overhead $workers $least.worker) -}}
{{- end -}}
{{- with .Values.dynamicAllocation -}}
  {{- $most := int64 (.maxExecutors | default $.Values.executor.count) -}}
  {{- if and .enabled (gt (int64 .minExecutors) $most) -}}
    {{- fail (printf "dynamicAllocation.minExecutors is %d, but the maximum is %d" (int64 .minExecutors) $most) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* What is created besides pods. */}}
{{- define "mxspark.checkRelease" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if and .Values.gitops (not .Values.schedule) (not (kindIs "invalid" .Values.ttlSeconds)) -}}
  {{- fail (printf "ttlSeconds is %v, but gitops is true: a Job that Kubernetes removes is created again by Argo CD. Set ttlSeconds to null" .Values.ttlSeconds) -}}
{{- end -}}
{{- if and .Values.localDirectory.hostPath .Values.localDirectory.storageClass -}}
  {{- fail "localDirectory has hostPath and storageClass: executors have one such folder. Give one of them" -}}
{{- end -}}
{{- if and .Values.monitoring.ingress.enabled (not .Values.monitoring.ingress.host) -}}
  {{- fail "monitoring.ingress.host is missing: set it to the host of the page's address" -}}
{{- end -}}
{{- if and .Values.monitoring.httpRoute.enabled (not .Values.monitoring.httpRoute.parentRefs) -}}
  {{- fail "monitoring.httpRoute.parentRefs is missing: set it to the Gateway, [{name: ..., namespace: ...}]" -}}
{{- end -}}
{{- with .Values.monitoring.metricsPort -}}
  {{- range $name, $port := (include "mxspark.constants" $ | fromYaml).ports -}}
    {{- if eq (int64 $port) (int64 $.Values.monitoring.metricsPort) -}}
      {{- fail (printf "monitoring.metricsPort is %d, which Spark uses itself: choose another" (int64 $port)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $policy.ingressRules (not (or $policy.enabled $policy.ingress)) -}}
  {{- fail "networkPolicy.ingressRules say who else may connect, but with networkPolicy.ingress and networkPolicy.enabled false anybody may: take the rules out, or leave the policies on" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
  {{- fail "serviceAccount.name is missing, and serviceAccount.create is false: the Role would be for the account default, and every pod of the namespace could create and delete pods. Name an account, or set rbac.create to false" -}}
{{- end -}}
{{- end -}}
