{{/* What the driver's pod, the executors' and those of `helm test` have in common. */}}

{{/* The user's template of a pod, (list root role). */}}
{{- define "mxspark.podTemplate" -}}
{{- toYaml (get (first .).Values (last .)).podTemplate -}}
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
