{{/* What the driver's pod, the executors' and those of `helm test` have in common. */}}

{{/*
The user's template of a pod, (list root role): what the values podSecurityContext, containerSecurityContext and extra* say of all pods, and over it
driver.podTemplate or executor.podTemplate.
*/}}
{{- define "mxspark.podTemplate" -}}
{{- $values := (first .).Values -}}
{{- $security := deepCopy $values.containerSecurityContext -}}
{{- /* Lists are appended to, and ours has ALL. */ -}}
{{- with ($security.capabilities | default dict).drop -}}
{{- $_ := unset $security.capabilities "drop" -}}
{{- with without . "ALL" }}{{ $_ := set $security.capabilities "drop" . }}{{ end -}}
{{- end -}}
{{- $container := dict -}}
{{- include "mxspark.put" (list $container "env" $values.extraEnv) -}}
{{- include "mxspark.put" (list $container "volumeMounts" $values.extraVolumeMounts) -}}
{{- include "mxspark.put" (list $container "securityContext" $security) -}}
{{- $spec := dict -}}
{{- include "mxspark.put" (list $spec "volumes" $values.extraVolumes) -}}
{{- include "mxspark.put" (list $spec "securityContext" (deepCopy $values.podSecurityContext)) -}}
{{- with $container }}{{ $_ := set $spec "containers" (list .) }}{{ end -}}
{{- $template := dict -}}
{{- include "mxspark.put" (list $template "spec" $spec) -}}
{{- include "mxspark.merge" (list $template (get $values (last .)).podTemplate) -}}
{{- toYaml $template -}}
{{- end -}}

{{- define "mxspark.podSecurity" -}}
{{- $context := (include "mxspark.constants" . | fromYaml).podSecurityContext -}}
{{- if .Values.openshift -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "mxspark.containerSecurity" -}}
{{- toYaml (include "mxspark.constants" . | fromYaml).containerSecurityContext -}}
{{- end -}}

{{/* The keys of the user's security contexts that loosen ours, each with its value. */}}
{{- define "mxspark.loosened" -}}
{{- $found := list -}}
{{- $contexts := dict "podSecurityContext" .Values.podSecurityContext "containerSecurityContext" .Values.containerSecurityContext -}}
{{- range $role := list "driver" "executor" -}}
  {{- $spec := (get $.Values $role).podTemplate.spec | default dict -}}
  {{- $container := first ($spec.containers | default (list dict)) | default dict -}}
  {{- $_ := set $contexts (printf "%s.podTemplate.spec.securityContext" $role) $spec.securityContext -}}
  {{- $_ := set $contexts (printf "%s.podTemplate.spec.containers.0.securityContext" $role) $container.securityContext -}}
{{- end -}}
{{- range $name, $context := $contexts -}}
  {{- range $key, $value := $context -}}
    {{- if include "mxspark.loosens" (list $ $key $value) -}}
      {{- $found = append $found (printf "%s.%s is %s" $name $key (toJson $value)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- join ", " $found -}}
{{- end -}}

{{/* Whether a key of a security context loosens ours, (list root key value). */}}
{{- define "mxspark.loosens" -}}
{{- $constants := include "mxspark.constants" (index . 0) | fromYaml -}}
{{- $ours := get (merge (dict "privileged" false) $constants.podSecurityContext $constants.containerSecurityContext) (index . 1) -}}
{{- $value := index . 2 -}}
{{- if kindIs "bool" $ours -}}
  {{- if ne (toString $ours) (toString $value) }}yes{{ end -}}
{{- else if kindIs "map" $ours -}}
  {{- if kindIs "map" $value -}}
    {{- $hasNoType := and (hasKey $value "type") (kindIs "invalid" $value.type) -}}
    {{- $dropsNone := and (hasKey $value "drop") (kindIs "invalid" $value.drop) -}}
    {{- if or $value.add (eq (toString $value.type) "Unconfined") $hasNoType $dropsNone }}yes{{ end -}}
  {{- else -}}
yes
  {{- end -}}
{{- else if has (index . 1) (list "runAsUser" "runAsGroup" "fsGroup") -}}
  {{- if eq (toString $value) "0" }}yes{{ end -}}
{{- else if has (index . 1) (list "appArmorProfile" "seLinuxOptions" "procMount" "supplementalGroups") -}}
  {{- /* Any of these that takes away what the cluster does by default. */ -}}
  {{- if regexMatch `"Unconfined"|"spc_t"|"Unmasked"|[\[,]0[\],]` (toJson $value) }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{- define "mxspark.credentials" -}}
{{- with .Values.s3.secretName }}
{{- range (include "mxspark.constants" $ | fromYaml).credentials }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.s3.secretName | quote }}
      key: {{ .name }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The settings, and where a pod with a read-only root file system writes: temporary files, and the home with the model cache. */}}
{{- define "mxspark.mounts" -}}
{{- $constants := include "mxspark.constants" . | fromYaml -}}
- name: settings
  mountPath: {{ $constants.settingsDirectory }}
  readOnly: true
{{ toYaml $constants.localMounts }}
{{- end -}}

{{- define "mxspark.settingsPath" -}}
{{- $constants := include "mxspark.constants" . | fromYaml -}}
{{ $constants.settingsDirectory }}/{{ $constants.settingsFile }}
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
What a pod requests, (list root values cpus memory): `values` are the value `driver` or `executor`, `cpus` the default of its cpuRequest, `memory`
in MiB. Requests and limits are the same for memory: a pod that may use more than it requested is the first that a full node ends.
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
