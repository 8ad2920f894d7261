{{/* Names, labels, numbers, and the merging of pod templates. */}}

{{/*
The name of all objects, and of the Spark application. Spark's and Kubernetes' names are formed by adding to it, up to 63 characters; names
that are too long are refused, for two that are cut could be the same.
*/}}
{{- define "mxspark.name" -}}
{{- $name := .Release.Name -}}
{{- with .Values.nameOverride }}{{ $name = printf "%s-%s" $name . }}{{ end -}}
{{- $name = .Values.fullnameOverride | default $name -}}
{{- $most := (include "mxspark.constants" . | fromYaml).maxNameLength | int -}}
{{- if gt (len $name) $most -}}
{{- fail (printf "the name %s has %d characters, and %d are the most: choose a shorter name for the release, or set fullnameOverride" $name (len $name) $most) -}}
{{- end -}}
{{- if contains "." $name -}}
{{- fail (printf "the name %s has a dot, which services' names can't have: choose another name for the release, or set fullnameOverride" $name) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- fail (printf "the name %s begins with a digit, which services' names can't: choose another name for the release, or set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* What belongs to this release, by the labels that Spark's executors have too: what selectors ask for. */}}
{{- define "mxspark.selector" -}}
app.kubernetes.io/name: mxspark
app.kubernetes.io/instance: {{ include "mxspark.name" . | quote }}
{{- end -}}

{{/*
Labels of an object, (list root component more...): ours override the user's. The chart's version is on no pod: a new version of the chart alone is
no reason to restart a job.
*/}}
{{- define "mxspark.labels" -}}
{{- $root := index . 0 -}}
{{- $labels := include "mxspark.podLabels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* Labels of a pod, (list root component more...). */}}
{{- define "mxspark.podLabels" -}}
{{- $root := index . 0 -}}
{{- $labels := dict -}}
{{- range concat (list $root.Values.commonLabels) (slice . 2) }}{{ $labels = merge dict . $labels }}{{ end -}}
{{- $labels = merge (include "mxspark.selector" $root | fromYaml) $labels -}}
{{- with index . 1 }}{{ $_ := set $labels "app.kubernetes.io/component" . }}{{ end -}}
{{- toYaml $labels -}}
{{- end -}}

{{- define "mxspark.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "mxspark.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/*
The executors' own account, without rights and identity; empty where another is named, and where the driver's may carry the identity that
the buckets require: by an annotation, or by what Kubernetes doesn't show (EKS Pod Identity, GKE's federation).
*/}}
{{- define "mxspark.executorAccount" -}}
{{- $isWithoutIdentity := and (or .Values.s3.secretName (.Values.job.storage | default dict).anonymous) (not .Values.serviceAccount.annotations) -}}
{{- if and $isWithoutIdentity .Values.serviceAccount.create (not .Values.executor.serviceAccountName) -}}
{{ include "mxspark.serviceAccount" . }}-executor
{{- end -}}
{{- end -}}

{{- define "mxspark.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* A number or a word as a string. Helm reads 1000000 as a float, which would be printed as 1e+06. */}}
{{- define "mxspark.string" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* Spark's 512m or 4g in KiB, and in whole MiB. */}}
{{- define "mxspark.kibibytes" -}}
{{- $exponent := dict "k" 0 "m" 1 "g" 2 "t" 3 -}}
{{- $size := regexFind "^[0-9]+" . | int64 -}}
{{- range until (get $exponent (regexFind "[kmgt]" .) | int) }}{{ $size = mul $size 1024 }}{{ end -}}
{{- $size -}}
{{- end -}}

{{- define "mxspark.mebibytes" -}}
{{- div (add (include "mxspark.kibibytes" .) 1023) 1024 -}}
{{- end -}}

{{/* CPUs, 500m, "2" or 1.5, in thousandths. */}}
{{- define "mxspark.millicores" -}}
{{- $text := include "mxspark.string" . -}}
{{- if hasSuffix "m" $text }}{{ trimSuffix "m" $text }}{{ else }}{{ mulf (float64 $text) 1000 }}{{ end -}}
{{- end -}}

{{/* How many tasks an executor runs at a time, and the memory that they have by default: as mxspark computes both (settings/job.py). */}}
{{- define "mxspark.workers" -}}
{{- $cores := div .Values.executor.cores .Values.executor.taskCpus -}}
{{- with .Values.gpu.perExecutor | int64 }}{{ min . $cores }}{{ else }}{{ $cores }}{{ end -}}
{{- end -}}

{{- define "mxspark.executorOverhead" -}}
{{- $each := (include "mxspark.constants" . | fromYaml).workerOverheadGibibytes -}}
{{- $default := printf "%dg" (mul (include "mxspark.workers" . | int64) (ternary $each.gpu $each.cpu (gt (int64 .Values.gpu.perExecutor) 0))) -}}
{{- .Values.executor.memoryOverhead | default $default -}}
{{- end -}}

{{/* Sets a key of a mapping where there is a value: (list mapping key value). */}}
{{- define "mxspark.put" -}}
{{- $mapping := index . 0 -}}
{{- with index . 2 }}{{ $_ := set $mapping (index $ 1) . }}{{ end -}}
{{- end -}}

{{/*
Puts a user's pod template over ours, (list ours template): its keys override ours, lists are appended to, the first containers are the same one.
mxspark does the same with the executors' template (pods.py), and so does `mxspark submit kubernetes`.
*/}}
{{- define "mxspark.merge" -}}
{{- $ours := index . 0 -}}
{{- range $key, $value := index . 1 -}}
  {{- $mine := get $ours $key -}}
  {{- if and (kindIs "map" $mine) (kindIs "map" $value) -}}
    {{- include "mxspark.merge" (list $mine $value) -}}
  {{- else if and (eq $key "containers") $mine $value -}}
    {{- include "mxspark.merge" (list (first $mine) (omit (first $value) "name")) -}}
    {{- $_ := set $ours $key (concat $mine (rest $value)) -}}
  {{- else if and (kindIs "slice" $mine) (kindIs "slice" $value) -}}
    {{- $_ := set $ours $key (concat $mine $value) -}}
  {{- else -}}
    {{- $_ := set $ours $key $value -}}
  {{- end -}}
{{- end -}}
{{- end -}}
