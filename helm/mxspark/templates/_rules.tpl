{{/* What Spark's driver asks for in client mode. The rights test of `helm test` asks the API server for the same. */}}
{{- define "mxspark.rules" -}}
{{- $verbs := (include "mxspark.constants" . | fromYaml).verbs -}}
# get: the driver looks for its own pod, which is to own the executors' pods. create: those.
# list, watch: how they are. patch: its own, to say how far the run is. delete: one that failed or is too much. deletecollection: all of them, at the end.
- apiGroups: [""]
  resources: [pods]
  verbs: [{{ join ", " $verbs.pods }}]
# create: that of the run's key, by which Spark's processes know each other; it goes with the driver's pod.
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
