{{/* What Spark's driver asks for in client mode. The rights test of `helm test` asks the API server for the same. */}}
{{- define "mxspark.rules" -}}
# get: the driver looks for its own pod, which is to own the executors' pods. create: those.
# list, watch: how they are. patch: its own, to say how far the run is. delete: one that failed or is too much. deletecollection: all of them, at the end.
- apiGroups: [""]
  resources: [pods]
  verbs: [create, get, list, watch, patch, delete, deletecollection]
# create: that of the run's key, by which Spark's processes know each other; it goes with the driver's pod.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
{{- if .Values.localDirectory.storageClass }}
# create: each executor's own. deletecollection: all of them, at the end.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create, deletecollection]
{{- end }}
{{- end -}}
