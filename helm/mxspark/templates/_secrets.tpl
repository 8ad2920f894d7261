{{/*
Secrets in values, which would be exposed: in the release, in the ConfigMap, in pods. `mxspark submit kubernetes` refuses the same, by the same
patterns (secrets.py, from which _secret_patterns.tpl is generated); tests/chart/test_secrets.py compares them.
*/}}

{{- define "mxspark.checkSecrets" -}}
{{- range $key, $value := .Values.sparkConf -}}
{{- $text := toString $value -}}
{{- if not (regexMatch (include "mxspark.secrets.reference" $) $key) -}}
{{- if or (include "mxspark.isNamedSecret" (list $key $text)) (include "mxspark.looksLike" (list $text "form" "address")) (include "mxspark.isGiven" $text) -}}
{{- include "mxspark.refuseSecret" (list "sparkConf" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "mxspark.checkTexts" (list list (omit .Values "sparkConf" "global")) -}}
{{- end -}}

{{/* Whether a text has something of one of these patterns, (list text pattern...). */}}
{{- define "mxspark.looksLike" -}}
{{- $text := first . -}}
{{- range rest . }}{{ if regexMatch (include (printf "mxspark.secrets.%s" .) $) $text }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* Whether a variable or property holds a secret, (list name value). */}}
{{- define "mxspark.isNamedSecret" -}}
{{- if include "mxspark.looksLike" (list (first .) "name") -}}
{{- if not (include "mxspark.looksLike" (list (join "=" .) "harmless")) }}yes{{ end -}}
{{- include "mxspark.looksLike" (list (join "=" .) "hook") -}}
{{- end -}}
{{- end -}}

{{/* Whether a command line or the like contains a secret. */}}
{{- define "mxspark.isGiven" -}}
{{- range regexFindAll (include "mxspark.secrets.given" $) . -1 }}{{ if not (include "mxspark.looksLike" (list . "taken")) }}yes{{ end }}{{ end -}}
{{- end -}}

{{- define "mxspark.refuseSecret" -}}
{{- fail (printf "%s may be a secret, which everyone who can read the release, its ConfigMap or its pods could read. Put it into a Kubernetes Secret: s3.secretName for a bucket's keys, valueFrom for a variable in extraEnv or a pod template. Addresses must not have a user, password or query here" (join "." .)) -}}
{{- end -}}

{{/* Looks at all texts in a value, (list path value): those of variables under the variable's name, command lines as one. */}}
{{- define "mxspark.checkTexts" -}}
{{- $path := index . 0 -}}
{{- $value := index . 1 -}}
{{- if and (kindIs "slice" $value) (has (last $path) (list "args" "command")) -}}
{{- include "mxspark.checkTexts" (list $path (join " " $value)) -}}
{{- else if kindIs "slice" $value -}}
{{- range $value }}{{ include "mxspark.checkTexts" (list $path .) }}{{ end -}}
{{- else if kindIs "map" $value -}}
{{- if and (hasKey $value "name") (kindIs "string" (index $value "value")) -}}
{{- include "mxspark.checkTexts" (list (append $path (toString $value.name)) $value.value) -}}
{{- else -}}
{{- range $key, $inner := $value }}{{ include "mxspark.checkTexts" (list (append $path $key) $inner) }}{{ end -}}
{{- end -}}
{{- else if kindIs "string" $value -}}
{{- if include "mxspark.isOpen" . }}{{ include "mxspark.refuseSecret" $path }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Whether a text may be a secret, (list path text). */}}
{{- define "mxspark.isOpen" -}}
{{- $path := index . 0 -}}
{{- $text := index . 1 -}}
{{- if eq (last $path) "image" -}}
{{- /* name:tag@digest looks like user:password@host. */ -}}
{{- else if include "mxspark.looksLike" (list $text "form") -}}
yes
{{- else if or (has "labels" $path) (has "annotations" $path) -}}
{{- include "mxspark.looksLike" (list $text "password") -}}
{{- else if include "mxspark.looksLike" (list $text "address") -}}
yes
{{- else if and (gt (len $path) 1) (or (has "podTemplate" $path) (hasPrefix "extra" (first $path)) (has (index (reverse $path) 1) (list "env" "httpHeaders"))) (include "mxspark.isNamedSecret" (list (last $path) $text)) -}}
yes
{{- else if ne (first $path) "job" -}}
{{- include "mxspark.isGiven" $text -}}
{{- end -}}
{{- end -}}
