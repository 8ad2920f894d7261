{{/*
Secrets in values, which would lie open: in the release, in the ConfigMap, in pods. `mxspark submit kubernetes` refuses the same
(open_secrets.py); tests/chart/test_secrets.py compares them.
*/}}

{{/* mxspark's own words for secrets (errors.py), and Azure's. */}}
{{- define "mxspark.secretWords" -}}
secret|passw(or)?d|token|(access|account|api)[._-]?key|(^|[^/])(pass|credentials?)($|=)
{{- end -}}

{{- define "mxspark.checkSecrets" -}}
{{- range $key, $value := .Values.sparkConf -}}
{{- /* Spark's own way to give pods a secret says which one, not what is in it. Else the name may be within the value: -Dfs.s3a.secret.key=... */ -}}
{{- if not (regexMatch "^spark\\.kubernetes\\.(driver|executor)\\.(secretKeyRef|secrets)\\." $key) -}}
{{- $text := printf "%s=%v" $key $value -}}
{{- if or (regexMatch (printf "(?i)%s" (include "mxspark.secretWords" $)) $text) (include "mxspark.isOpenAddress" (toString $value)) -}}
{{- include "mxspark.refuseSecret" (list "sparkConf" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "mxspark.checkTexts" (list list (omit .Values "sparkConf" "global")) -}}
{{- end -}}

{{- define "mxspark.refuseSecret" -}}
{{- fail (printf "%s may be a secret, which would lie open for all who can read the release, its ConfigMap or its pods. Put it into a secret of the cluster: s3.secretName names that of a bucket's keys, and in a pod template a variable has valueFrom. Addresses have no user, password or query here" (join "." .)) -}}
{{- end -}}

{{/* Looks at all texts in a value, (list path value); at those of variables under the variable's name. */}}
{{- define "mxspark.checkTexts" -}}
{{- $path := index . 0 -}}
{{- $value := index . 1 -}}
{{- if kindIs "slice" $value -}}
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
{{- $words := include "mxspark.secretWords" . -}}
{{- if eq (last $path) "image" -}}
{{- /* name:tag@digest looks like user:password@host. */ -}}
{{- else if or (has "labels" $path) (has "annotations" $path) -}}
{{- /* Free texts: only an address that has a password is surely none for all to read. */ -}}
{{- if regexMatch `://[^/\s'"@]*:[^/\s'"]*@` $text }}yes{{ end -}}
{{- else if include "mxspark.isOpenAddress" $text -}}
yes
{{- else if and (gt (len $path) 1) (eq (index (reverse $path) 1) "env") (regexMatch (printf "(?i)%s" $words) (last $path)) -}}
yes
{{- else if and (ne (first $path) "job") (regexMatch (printf `(?i)(%s|pass|credentials?)=([^\s$]|\$([^(]|$))` $words) $text) -}}
{{- /* As programs take it on their command lines; $(NAME) is a variable that Kubernetes fills in. */ -}}
yes
{{- end -}}
{{- end -}}

{{/* Whether a text has an address with a user or a query (a presigned one is as good as a key), or a signature: what without_secrets (errors.py) takes out. */}}
{{- define "mxspark.isOpenAddress" -}}
{{- $user := `://[^/\s'"]*@|(?:^|[\s'"(=,])[^\s/:'"@()=,]+:[^\s/'"@]+@[\w\[]` -}}
{{- $query := `https?://[^\s'"<>?]*\?` -}}
{{- $signed := `\b(?:(?:X-(?:Amz|Goog)-)?(?:Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|sig)(?:['"]|&#?\w+;)?(?:=|: ?)(?:['"]|&#?\w+;)?[^&\s,;'"<>)]` -}}
{{- if regexMatch (printf "(?i)%s|%s|%s" $user $query $signed) . }}yes{{ end -}}
{{- end -}}
