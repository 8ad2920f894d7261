{{/* Where images, model and predictions are: reached from every pod. `mxspark submit kubernetes` refuses the same (submit/reach.py). */}}
{{- define "mxspark.checkPlaces" -}}
{{- $constants := include "mxspark.constants" . | fromYaml -}}
{{- $job := .Values.job -}}
{{- range $key := $constants.places -}}
  {{- $given := dig (splitList "." $key | first) (splitList "." $key | last) "" $job | default "" -}}
  {{- $schemes := ternary $constants.writeSchemes $constants.readSchemes (hasPrefix "output." $key) -}}
  {{- range $place := kindIs "slice" $given | ternary $given (list $given) -}}
    {{- if contains "://" $place -}}
      {{- if not (has (splitList "://" $place | first) $schemes) -}}
        {{- fail (printf "job.%s is %s, and mxspark does not support %s://: give s3://bucket/prefix; other object stores are reached by their S3 API: s3.endpoint" $key $place (splitList "://" $place | first)) -}}
      {{- end -}}
    {{- else if not (empty $place) -}}
      {{- include "mxspark.checkFolder" (list $ $key $place) -}}
    {{- end -}}
    {{- if regexMatch $constants.ownHost $place -}}
      {{- include "mxspark.refuseOwnHost" (list $ (printf "job.%s" $key) $place) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if regexMatch $constants.ownHost (.Values.s3.endpoint | default "") -}}
  {{- include "mxspark.refuseOwnHost" (list . "s3.endpoint" .Values.s3.endpoint) -}}
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

{{/* By list (root, key, folder): fails where the pods that need the folder don't have it, or not the same. */}}
{{- define "mxspark.checkFolder" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- $place := index . 2 -}}
{{- $isOutput := hasPrefix "output." $key -}}
{{- $hint := "give s3://bucket/prefix, or mount a volume that all pods share: extraVolumes, extraVolumeMounts" -}}
{{- if not (hasPrefix "/" $place) -}}
  {{- fail (printf "job.%s is %s, a folder that pods don't have: %s" $key $place $hint) -}}
{{- end -}}
{{- $driver := include "mxspark.mount" (list $root "driver" $place) -}}
{{- $executor := include "mxspark.mount" (list $root "executor" $place) -}}
{{- $manifest := (include "mxspark.constants" $root | fromYaml).manifestSuffix -}}
{{- if or (eq $key "output.text_object") (regexMatch $manifest $place) -}}
  {{- $executor = $driver -}}
{{- end -}}
{{- if and (not $driver) $executor -}}
  {{- fail (printf "job.%s is %s, where a volume is mounted in the executors, but not in the driver: mount it there too, driver.podTemplate" $key $place) -}}
{{- else if and $driver (not $executor) (not (include "mxspark.mountsByProperties" (list $root.Values.sparkConf $place))) -}}
  {{- fail (printf "job.%s is %s, where a volume is mounted in the driver, but not in the executors: mount it there too, executor.podTemplate" $key $place) -}}
{{- else if and $isOutput (has "readOnly" (list $driver $executor)) -}}
  {{- fail (printf "job.%s is %s, on a volume that is mounted with readOnly: true: mount it so that pods can write" $key $place) -}}
{{- else if and $isOutput (or (not $driver) (has "own" (list $driver $executor))) -}}
  {{- fail (printf "job.%s is %s: each pod would write to a folder of its own, which is deleted with it: %s" $key $place $hint) -}}
{{- end -}}
{{- end -}}

{{/* By list (root, role, place): how the volume is mounted on which the main container has the place (shared, own to each pod, or
readOnly), empty where there is none. The mount with the longest path counts. */}}
{{- define "mxspark.mount" -}}
{{- $ownVolumes := (include "mxspark.constants" . | fromYaml).ownVolumes -}}
{{- $spec := (include "mxspark.podTemplate" (initial .) | fromYaml).spec | default dict -}}
{{- $place := printf "%s/" (last . | clean) -}}
{{- $found := dict "length" 0 "how" "" -}}
{{- range $mount := (first ($spec.containers | default (list dict))).volumeMounts -}}
  {{- $at := printf "%s/" ($mount.mountPath | clean | trimSuffix "/") -}}
  {{- if and (hasPrefix $at $place) (gt (len $at) $found.length) -}}
    {{- $how := "own" -}}
    {{- range $volume := $spec.volumes -}}
      {{- $kinds := without (keys $volume) "name" -}}
      {{- $isOwn := false -}}
      {{- range $kinds }}{{ $isOwn = or $isOwn (has . $ownVolumes) }}{{ end -}}
      {{- if and (eq $volume.name $mount.name) $kinds (not $isOwn) -}}
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

{{/* By list (root, key, address): fails where nothing in the pods could listen there, neither a sidecar nor the node. */}}
{{- define "mxspark.refuseOwnHost" -}}
{{- $root := first . -}}
{{- range $role := list "driver" "executor" -}}
  {{- $spec := (get $root.Values $role).podTemplate.spec | default dict -}}
  {{- $others := rest ($spec.containers | default (list dict)) -}}
  {{- range $spec.initContainers -}}
    {{- if eq (.restartPolicy | default "") "Always" -}}
      {{- $others = append $others . -}}
    {{- end -}}
  {{- end -}}
  {{- if not (or $others $spec.hostNetwork) -}}
    {{- fail (printf "%s is %s: in a pod, that is the pod itself, and nothing in it listens there: give an address that pods can reach, such as http://SERVICE.NAMESPACE:PORT" (index $ 1) (index $ 2)) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
