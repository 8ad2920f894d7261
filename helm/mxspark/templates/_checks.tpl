{{/* Values that can't work together. mxspark refuses the same (settings/job.py), but only when the driver runs. */}}
{{- define "mxspark.check" -}}
{{- $executor := .Values.executor -}}
{{- $gpus := int64 .Values.gpu.perExecutor -}}
{{- $cores := int64 $executor.cores -}}
{{- $taskCpus := int64 $executor.taskCpus -}}
{{- if not (dig "input" "path" "" .Values.job) -}}
{{- fail "job.input.path is missing: set it to the images, s3://bucket/prefix" -}}
{{- end -}}
{{- if not (dig "output" "path" "" .Values.job) -}}
{{- fail "job.output.path is missing: set it to where the predictions go, s3://bucket/prefix" -}}
{{- end -}}
{{- if not (or (dig "model" "path" "" .Values.job) (and (dig "model" "symbol" "" .Values.job) (dig "model" "params" "" .Values.job))) -}}
{{- fail "job.model.path is missing: set it to a bundle, or job.model.symbol and job.model.params to its files" -}}
{{- end -}}
{{- if and (dig "model" "path" "" .Values.job) (or (dig "model" "symbol" "" .Values.job) (dig "model" "params" "" .Values.job)) -}}
{{- fail "job.model.path is a bundle, which has its own symbol and params: give it, or job.model.symbol and job.model.params, not both" -}}
{{- end -}}
{{- if and (dig "output" "overwrite" false .Values.job) (dig "output" "retry_failed" false .Values.job) -}}
{{- fail "job.output.overwrite starts over, job.output.retry_failed goes on: give one of them" -}}
{{- end -}}
{{- include "mxspark.checkPlaces" . -}}
{{- include "mxspark.checkSecrets" . -}}
{{- range splitList " " (include "mxspark.ownProperties" .) -}}
{{- if hasKey $.Values.sparkConf . -}}
{{- fail (printf "sparkConf.%s is set by the chart itself: take it out" .) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.sparkConf -}}
{{- if regexMatch (printf "^%s$" (include "mxspark.driverProperties" $)) $key -}}
{{- fail (printf "sparkConf.%s would have no effect, for the driver's pod is the chart's: set driver (memory, cores, nodeSelector, labels, annotations, podTemplate), and the same of executor" $key) -}}
{{- end -}}
{{- end -}}
{{- if or .Values.networkPolicy.ingress .Values.networkPolicy.enabled -}}
{{- range splitList " " (include "mxspark.portProperties" .) -}}
{{- if hasKey $.Values.sparkConf . -}}
{{- fail (printf "sparkConf.%s is given, but the network policies open Spark's usual ports alone: take it out, or set networkPolicy.ingress and networkPolicy.enabled to false" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.context "gpu") (not $gpus) (not (hasKey .Values.sparkConf "spark.executor.resource.gpu.amount")) -}}
{{- fail "context is gpu, but gpu.perExecutor is 0: executors would get no GPU. Set gpu.perExecutor to 1" -}}
{{- end -}}
{{- if and (eq .Values.context "cpu") $gpus -}}
{{- fail (printf "gpu.perExecutor is %d, but context is cpu: set context to gpu, or ask for none" $gpus) -}}
{{- end -}}
{{- if and (ne .Values.gpu.vendor "nvidia.com") (eq .Values.gpu.discoveryScript "/opt/gpu-discovery.sh") -}}
{{- fail (printf "gpu.vendor is %s, but the script gpu.discoveryScript finds NVIDIA's GPUs only: name one in the image that finds that vendor's" .Values.gpu.vendor) -}}
{{- end -}}
{{- if not (or (kindIs "string" .Values.image.tag) (kindIs "invalid" .Values.image.tag)) -}}
{{- fail (printf "image.tag is the number %v, which may not be what was written (1.0 is the number 1): quote it, tag: \"1.0\", or give it by --set-string" .Values.image.tag) -}}
{{- end -}}
{{- if and (rest (dig "spec" "containers" (list dict) .Values.driver.podTemplate)) (semverCompare "<1.29-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "driver.podTemplate has a container beside the driver, which Kubernetes %s does not end with it, so that the Job would never end: take it out, or upgrade the cluster to 1.29" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- range $path, $hint := include "mxspark.writtenBySpark" . | fromYaml -}}
{{- $at := dict "value" $.Values.executor.podTemplate -}}
{{- range $key := splitList "." $path -}}
{{- if kindIs "map" $at.value -}}
{{- $_ := set $at "value" (get $at.value $key | default "") -}}
{{- else if kindIs "slice" $at.value -}}
{{- $_ := set $at "value" (first $at.value | default "") -}}
{{- else -}}
{{- $_ := set $at "value" "" -}}
{{- end -}}
{{- end -}}
{{- $isLeft := and (hasSuffix ".lifecycle" $path) (eq (toString (get $.Values.sparkConf "spark.decommission.enabled")) "false") -}}
{{- if not (or $isLeft (eq (toString $at.value) "")) -}}
{{- fail (printf "executor.podTemplate.%s would have no effect, for Spark writes its own over it: %s" $path $hint) -}}
{{- end -}}
{{- end -}}
{{- range $role, $template := dict "driver" .Values.driver.podTemplate "executor" .Values.executor.podTemplate -}}
{{- range $key := list "name" "instance" "component" | sortAlpha -}}
{{- $label := printf "app.kubernetes.io/%s" $key -}}
{{- if hasKey (($template.metadata | default dict).labels | default dict) $label -}}
{{- fail (printf "%s.podTemplate.metadata.labels has %s, by which network policies and services find the pod: take it out" $role $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.gitops (not .Values.schedule) (not (kindIs "invalid" .Values.ttlSeconds)) -}}
{{- fail (printf "ttlSeconds is %v, but gitops is true: a Job that Kubernetes removes is made again by Argo CD. Set ttlSeconds to null" .Values.ttlSeconds) -}}
{{- end -}}
{{- if gt $taskCpus $cores -}}
{{- fail (printf "executor.taskCpus is %d, but executor.cores only %d: no executor could run a task" $taskCpus $cores) -}}
{{- end -}}
{{- if gt $gpus (div $cores $taskCpus) -}}
{{- fail (printf "gpu.perExecutor is %d, one worker for each, but executor.cores %d are enough for %d: give more cores, or fewer GPUs" $gpus $cores (div $cores $taskCpus)) -}}
{{- end -}}
{{- range $pod := list "driver" "executor" -}}
{{- with get $.Values $pod -}}
{{- $request := ternary "cpuRequest" "cores" (not (empty .cpuRequest)) -}}
{{- $limit := ternary "cpuLimit" "cores" (not (empty .cpuLimit)) -}}
{{- if gt (include "mxspark.millicores" (get . $request) | float64) (include "mxspark.millicores" (get . $limit) | float64) -}}
{{- fail (printf "%s.%s is %s, more than %s.%s, %s: a pod can't ask for more CPUs than it may use" $pod $request (get . $request | include "mxspark.string") $pod $limit (get . $limit | include "mxspark.string")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $pod, $memory := dict "driver" .Values.driver.memory "executor" $executor.memory -}}
{{- if lt (include "mxspark.kibibytes" $memory | int64) (mul 465 1024) -}}
{{- fail (printf "%s.memory is %s, but Spark's Java asks for 465m at least" $pod $memory) -}}
{{- end -}}
{{- end -}}
{{- $workers := include "mxspark.workers" . | int64 -}}
{{- $overhead := include "mxspark.executorOverhead" . -}}
{{- if lt (include "mxspark.kibibytes" $overhead | int64) (mul $workers 384 1024) -}}
{{- fail (printf "executor.memoryOverhead is %s for %d workers, of which each needs 384m at least, more for large networks: raise it, or give the executor fewer cores" $overhead $workers) -}}
{{- end -}}
{{- with .Values.dynamicAllocation -}}
{{- $most := int64 (.maxExecutors | default $executor.count) -}}
{{- if and .enabled (gt (int64 .minExecutors) $most) -}}
{{- fail (printf "dynamicAllocation.minExecutors is %d, more than the %d that it may be at most" (int64 .minExecutors) $most) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.networkPolicy.ingressRules (not (or .Values.networkPolicy.enabled .Values.networkPolicy.ingress)) -}}
{{- fail "networkPolicy.ingressRules say who else may connect, but with networkPolicy.ingress and networkPolicy.enabled false anybody may: take the rules out, or leave the policies on" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name is missing, and serviceAccount.create is false: the Role would be for the account default, and every pod of the namespace could make and delete pods. Name an account, or set rbac.create to false" -}}
{{- end -}}
{{- end -}}

{{/* Spark's properties that every way of submitting sets itself (manifests.py): others would make another job of it. */}}
{{- define "mxspark.ownProperties" -}}
spark.master spark.app.name spark.kubernetes.namespace
{{- end -}}

{{/* What Spark writes over a template of executors (settings.py), and what to do instead. */}}
{{- define "mxspark.writtenBySpark" -}}
{{- $memory := "set executor.memory and executor.memoryOverhead" -}}
metadata.name: take it out
spec.hostname: take it out
spec.restartPolicy: take it out
spec.terminationGracePeriodSeconds: set executor.terminationGracePeriodSeconds
spec.containers.0.args: take it out, or give that to a container beside it
spec.containers.0.image: see image.repository
spec.containers.0.imagePullPolicy: see image.pullPolicy
spec.containers.0.lifecycle: give that to a container beside it, or set sparkConf.spark.decommission.enabled to false
spec.containers.0.resources.requests.cpu: set executor.cpuRequest
spec.containers.0.resources.limits.cpu: set executor.cpuLimit
spec.containers.0.resources.requests.memory: {{ $memory }}
spec.containers.0.resources.limits.memory: {{ $memory }}
{{- end -}}

{{/* Those by which Spark makes a driver's pod, in cluster mode; here it is the Job's (manifests.py). */}}
{{- define "mxspark.driverProperties" -}}
spark[.](driver[.](cores|memory|memoryOverhead|memoryOverheadFactor)|kubernetes[.](node[.]selector[.].+|driverEnv[.].+|driver[.]((volumes|label|annotation|secrets|secretKeyRef|node[.]selector|service[.]label|service[.]annotation)[.].+|request[.]cores|limit[.]cores|podTemplateFile|podTemplateContainerName|container[.]image|scheduler[.]name)))
{{- end -}}

{{/* Those by which it would listen elsewhere than the network policies open (network_policies.py). */}}
{{- define "mxspark.portProperties" -}}
spark.driver.port spark.driver.blockManager.port spark.blockManager.port spark.ui.port
{{- end -}}

{{/* By list (pod template, place): how the volume is mounted on which the main container has the place (shared, own to each pod, or
readOnly), empty where there is none. The mount with the longest path counts. */}}
{{- define "mxspark.mount" -}}
{{- $spec := (first .).spec | default dict -}}
{{- $place := printf "%s/" (last . | clean) -}}
{{- $found := dict "length" 0 "how" "" -}}
{{- range $mount := (first ($spec.containers | default (list dict))).volumeMounts -}}
{{- $at := printf "%s/" ($mount.mountPath | clean | trimSuffix "/") -}}
{{- if and (hasPrefix $at $place) (gt (len $at) $found.length) -}}
{{- $how := "own" -}}
{{- range $volume := $spec.volumes -}}
{{- if and (eq $volume.name $mount.name) (omit $volume "name" "emptyDir" "ephemeral" "configMap" "secret" "downwardAPI" "projected" "image") -}}
{{- $how = ternary "readOnly" "shared" ($mount.readOnly | default false) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $found "how" $how -}}
{{- $_ := set $found "length" (len $at) -}}
{{- end -}}
{{- end -}}
{{- $found.how -}}
{{- end -}}

{{/* By list (Spark's properties, place): whether one of them mounts a volume there into executors. */}}
{{- define "mxspark.mountsByProperties" -}}
{{- $place := printf "%s/" (last . | clean) -}}
{{- range $key, $path := first . -}}
{{- if and (regexMatch "^spark[.]kubernetes[.]executor[.]volumes[.].*[.]mount[.]path$" $key) (hasPrefix (printf "%s/" ($path | clean | trimSuffix "/")) $place) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Addresses that each pod has for itself. */}}
{{- define "mxspark.ownHost" -}}
(?i)^https?://([^/]*@)?(localhost|[^/]*[.]localhost|localhost[.]localdomain|127([.]\d+){1,3}|\[::1?\]|0[.]0[.]0[.]0)([:/?]|$)
{{- end -}}

{{/* By list (the chart, key, address): fails where nothing in the pods could serve there, neither a sidecar nor the node. */}}
{{- define "mxspark.refuseOwnHost" -}}
{{- $chart := first . -}}
{{- range $role := list "driver" "executor" -}}
{{- $spec := (get $chart.Values $role).podTemplate.spec | default dict -}}
{{- $others := rest ($spec.containers | default (list dict)) -}}
{{- range $spec.initContainers -}}
{{- if eq (.restartPolicy | default "") "Always" -}}
{{- $others = append $others . -}}
{{- end -}}
{{- end -}}
{{- if not (or $others $spec.hostNetwork) -}}
{{- fail (printf "%s is %s: in a pod that is the pod itself, and nothing in it serves there: give an address that pods reach, such as http://SERVICE.NAMESPACE:PORT" (index $ 1) (index $ 2)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where images, model and predictions are: reached from every pod. */}}
{{- define "mxspark.checkPlaces" -}}
{{- $job := .Values.job -}}
{{- $hint := "give s3://bucket/prefix, or mount a volume that all pods share: driver.podTemplate, executor.podTemplate" -}}
{{- range $key := list "input.path" "input.base" "output.path" "output.text_object" "model.path" "model.symbol" "model.params" "model.labels" -}}
{{- $given := dig (splitList "." $key | first) (splitList "." $key | last) "" $job | default "" -}}
{{- $schemes := ternary (list "s3" "s3a" "s3n") (list "s3" "s3a" "s3n" "http" "https") (hasPrefix "output." $key) -}}
{{- range $place := kindIs "slice" $given | ternary $given (list $given) -}}
{{- if contains "://" $place -}}
{{- if not (has (splitList "://" $place | first) $schemes) -}}
{{- fail (printf "job.%s is %s, and mxspark knows no %s://: give s3://bucket/prefix; other object stores are reached by their S3 interface, s3.endpoint" $key $place (splitList "://" $place | first)) -}}
{{- end -}}
{{- else if not (empty $place) -}}
{{- if not (hasPrefix "/" $place) -}}
{{- fail (printf "job.%s is %s, a folder that pods don't have: %s" $key $place $hint) -}}
{{- end -}}
{{- $driver := include "mxspark.mount" (list $.Values.driver.podTemplate $place) -}}
{{- $isDriversAlone := or (eq $key "output.text_object") (regexMatch "(?i)\\.((txt|csv|tsv|lst)(\\.gz)?|parquet)$" $place) -}}
{{- $executor := ternary $driver (include "mxspark.mount" (list $.Values.executor.podTemplate $place)) $isDriversAlone -}}
{{- if and (not $driver) $executor -}}
{{- fail (printf "job.%s is %s, where a volume is mounted in the executors, but not in the driver: mount it there too, driver.podTemplate" $key $place) -}}
{{- else if and $driver (not $executor) (not (include "mxspark.mountsByProperties" (list $.Values.sparkConf $place))) -}}
{{- fail (printf "job.%s is %s, where a volume is mounted in the driver, but not in the executors: mount it there too, executor.podTemplate" $key $place) -}}
{{- else if and (hasPrefix "output." $key) (has "readOnly" (list $driver $executor)) -}}
{{- fail (printf "job.%s is %s, on a volume that is mounted with readOnly: true: mount it so that pods can write" $key $place) -}}
{{- else if and (hasPrefix "output." $key) (or (not $driver) (has "own" (list $driver $executor))) -}}
{{- fail (printf "job.%s is %s: each pod would write to a folder of its own, which is gone with it: %s" $key $place $hint) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch (include "mxspark.ownHost" .) $place -}}
{{- include "mxspark.refuseOwnHost" (list $ (printf "job.%s" $key) $place) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if regexMatch (include "mxspark.ownHost" .) (.Values.s3.endpoint | default "") -}}
{{- include "mxspark.refuseOwnHost" (list $ "s3.endpoint" .Values.s3.endpoint) -}}
{{- end -}}
{{- $given := dig "input" "path" "" $job -}}
{{- range $input := kindIs "slice" $given | ternary $given (list $given) -}}
{{- if eq (trimSuffix "/" $input) (dig "output" "path" "" $job | trimSuffix "/") -}}
{{- fail (printf "job.output.path is the same place as job.input.path, %s: give the predictions a folder of their own" $input) -}}
{{- end -}}
{{- end -}}
{{- $format := dig "output" "format" "parquet" $job -}}
{{- if and (dig "output" "text_object" "" $job) (ne $format "text") -}}
{{- fail (printf "job.output.text_object goes with job.output.format text, but that is %s" $format) -}}
{{- end -}}
{{- end -}}
