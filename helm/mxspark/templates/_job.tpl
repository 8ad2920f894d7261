{{/* The Job's spec, for the Job itself or the CronJob. */}}
{{- define "mxspark.jobSpec" -}}
{{- $template := include "mxspark.podTemplate" (list . "driver") | fromYaml -}}
{{- $pod := include "mxspark.driverPod" . | fromYaml -}}
{{- with $pod.Error }}{{ fail . }}{{ end -}}
{{- include "mxspark.merge" (list $pod (pick $template "metadata" "spec")) -}}
{{- include "mxspark.nativeSidecars" $pod.spec -}}
backoffLimit: {{ .Values.restarts }}
{{- if .Values.suspend }}
suspend: true
{{- end }}
{{- with .Values.deadlineSeconds }}
activeDeadlineSeconds: {{ int64 . }}
{{- end }}
{{- if not (kindIs "invalid" .Values.ttlSeconds) }}
ttlSecondsAfterFinished: {{ int64 .Values.ttlSeconds }}
{{- end }}
podFailurePolicy:
  rules:
    # Wrong settings (2) and too many bad images (3) would fail again.
    - action: FailJob
      onExitCodes:
        containerName: driver
        operator: In
        values: [{{ (include "mxspark.constants" . | fromYaml).finalExitCodes | join ", " }}]
    # A pod that was evicted, or whose node was drained, is restarted however often that happens.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
template:
  {{- toYaml $pod | nindent 2 }}
{{- end -}}

{{/*
The Job's name ends in a hash of its pod. A Job's pod can't be changed, so changed values make another Job and Helm removes the old one;
unchanged ones leave the Job alone, whether it runs or has ended. (The revision's number would restart it with every upgrade.)
*/}}
{{- define "mxspark.jobName" -}}
{{- $spec := include "mxspark.jobSpec" . | fromYaml -}}
{{- printf "%s-%s" (include "mxspark.name" .) (pick $spec "template" "podFailurePolicy" | toJson | sha256sum | trunc 8) -}}
{{- end -}}

{{/* The release, whose name is not that of its objects where an override says so. Helm writes its own annotation on no Job that a CronJob creates. */}}
{{- define "mxspark.ofRelease" -}}
mxspark/release: {{ .Release.Name | quote }}
{{- end -}}
