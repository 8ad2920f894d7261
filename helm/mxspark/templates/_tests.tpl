{{/* The pods of `helm test`. */}}

{{- define "mxspark.testTolerations" -}}
{{- $tolerations := include "mxspark.executorTolerations" . | fromYamlArray -}}
{{- if gt (int64 .Values.gpu.perExecutor) 0 -}}
{{- $tolerations = prepend $tolerations (dict "key" (printf "%s/gpu" .Values.gpu.vendor) "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- toYaml $tolerations -}}
{{- end -}}

{{/* The value driver or executor, (list root role), whose podTemplate has what all pods have. */}}
{{- define "mxspark.role" -}}
{{- $values := get (first .).Values (last .) -}}
{{- merge (dict "podTemplate" (include "mxspark.podTemplate" . | fromYaml)) (omit $values "podTemplate") | toYaml -}}
{{- end -}}

{{/*
A pod of `helm test`, with all that the pod which it represents is given: `like` is the value `driver` or `executor`. It is deleted when it
succeeds; one that failed is kept for inspection, until the next `helm test`.
*/}}
{{- define "mxspark.testPod" -}}
{{- $pod := include "mxspark.ourTestPod" . | fromYaml -}}
{{- with $pod.Error }}{{ fail . }}{{ end -}}
{{- include "mxspark.merge" (list $pod (include "mxspark.testTemplate" .like | fromYaml)) -}}
{{- toYaml $pod -}}
{{- end -}}

{{/* The user's template without what runs in the pod: sidecars, too, could keep it from ending. */}}
{{- define "mxspark.testTemplate" -}}
{{- $spec := deepCopy (.podTemplate.spec | default dict) -}}
{{- with $spec.containers }}{{ $_ := set $spec "containers" (list (omit (first .) "command" "args")) }}{{ end -}}
{{- dict "metadata" (pick (.podTemplate.metadata | default dict) "labels" "annotations") "spec" $spec | toYaml -}}
{{- end -}}

{{- define "mxspark.ourTestPod" }}
{{- $name := include "mxspark.name" .root }}
{{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-weight" .weight "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
apiVersion: v1
kind: Pod
metadata:
  name: {{ $name }}-test-{{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "mxspark.labels" (list .root "test" .like.labels) | nindent 4 }}
  annotations:
    {{- merge $hook .like.annotations | toYaml | nindent 4 }}
spec:
  restartPolicy: Never
  activeDeadlineSeconds: {{ int64 .root.Values.tests.timeoutSeconds }}
  serviceAccountName: {{ .like.serviceAccountName | default (include "mxspark.serviceAccount" .root) | quote }}
  automountServiceAccountToken: {{ .token | default false }}
  {{- with include "mxspark.pullSecrets" .root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "mxspark.placement" .like | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "mxspark.podSecurity" .root | nindent 4 }}
  containers:
    - name: test
      image: {{ include "mxspark.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- toYaml .command | nindent 8 }}
      {{- if and .credentials .root.Values.s3.secretName }}
      env:
        {{- include "mxspark.credentials" .root | trim | nindent 8 }}
      {{- end }}
      resources:
        {{- include "mxspark.resources" (list .root .like .cpus .memory) | nindent 8 }}
          {{- if .gpus }}
          {{ .root.Values.gpu.vendor }}/gpu: 1
          {{- end }}
      securityContext:
        {{- include "mxspark.containerSecurity" .root | nindent 8 }}
      volumeMounts:
        {{- include "mxspark.mounts" .root | nindent 8 }}
        - name: tests
          mountPath: /etc/mxspark-tests
          readOnly: true
  volumes:
    {{- include "mxspark.settingsVolume" .root | nindent 4 }}
    {{- include "mxspark.localVolume" .root | nindent 4 }}
    - name: tests
      configMap:
        name: {{ $name }}-tests
{{- end }}
