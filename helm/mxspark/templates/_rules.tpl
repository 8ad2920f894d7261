{{/* What Spark's driver needs in client mode. The rights test of `helm test` checks the same with the API server. */}}
{{- define "mxspark.rules" -}}
{{- $verbs := (include "mxspark.constants" . | fromYaml).verbs -}}
# get: the driver reads its own pod, which will own the executors' pods. create: those.
# list, watch: their status. patch: its own, to report the progress. delete: one that failed or is idle. deletecollection: all of them, at the end.
- apiGroups: [""]
  resources: [pods]
  verbs: [{{ join ", " $verbs.pods }}]
# create: that of the run's key, by which Spark's processes authenticate each other; it is deleted with the driver's pod.
- apiGroups: [""]
  resources: [secrets]
  verbs: [{{ join ", " $verbs.secrets }}]
{{- if .Values.localDirectory.storageClass }}
# create: each executor's own. deletecollection: all of them, at the end.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [{{ join ", " $verbs.persistentvolumeclaims }}]
{{- end }}
{{- end -}}
