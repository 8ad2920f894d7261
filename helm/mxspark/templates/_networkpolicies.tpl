{{/* What may connect to what. */}}

{{- define "mxspark.policyTypes" -}}
- Ingress
{{- if .Values.networkPolicy.enabled }}
- Egress
{{- end }}
{{- end -}}

{{/* Not empty where Spark's web UI or metrics are to be reachable. */}}
{{- define "mxspark.servesPages" -}}
{{- with .Values.monitoring }}{{ if or .uiService .ingress.enabled .httpRoute.enabled (and .prometheus.annotations (not .metricsPort)) .prometheus.podMonitor.enabled }}true{{ end }}{{ end -}}
{{- end -}}

{{/* The driver's ports that others than executors may connect to: Spark's pages, and the run's metrics. */}}
{{- define "mxspark.pagePorts" -}}
{{- if or .Values.networkPolicy.uiFrom (include "mxspark.servesPages" .) }}
- port: {{ (include "mxspark.constants" . | fromYaml).ports.ui }}
  protocol: TCP
{{- end }}
{{- with .Values.monitoring.metricsPort }}
- port: {{ int64 . }}
  protocol: TCP
{{- end }}
{{- end -}}

{{/* What all pods may connect to. */}}
{{- define "mxspark.egress" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $rules := list -}}
{{- $rules = append $rules (include "mxspark.egressRule" (list $policy.dns.to $policy.dns.ports "UDP" "TCP")) -}}
{{- $ports := $policy.s3.ports | default (include "mxspark.s3Ports" . | fromYamlArray) -}}
{{- $rules = append $rules (include "mxspark.egressRule" (list $policy.s3.to $ports "TCP")) -}}
{{- if not (or .Values.s3.secretName (hasKey (.Values.serviceAccount.annotations | default dict) "eks.amazonaws.com/role-arn")) -}}
{{- $rules = append $rules (include "mxspark.egressRule" (list $policy.credentials.to $policy.credentials.ports "TCP")) -}}
{{- end -}}
{{- with $policy.egress }}{{ $rules = append $rules (toYaml .) }}{{ end -}}
{{- compact $rules | join "\n" | default "[]" -}}
{{- end -}}

{{- define "mxspark.toApiServer" -}}
{{- with .Values.networkPolicy.apiServer }}{{ include "mxspark.egressRule" (list .to .ports "TCP") }}{{ end -}}
{{- end -}}

{{/* A rule, (list peers ports protocol...); none where there are no peers, for Kubernetes reads an empty list of them as everyone. */}}
{{- define "mxspark.egressRule" -}}
{{- $protocols := slice . 2 -}}
{{- $ports := index . 1 -}}
{{- with index . 0 -}}
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    {{- range $port := $ports }}
    {{- range $protocols }}
    - port: {{ $port }}
      protocol: {{ . }}
    {{- end }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* The port of s3.endpoint, and that of the service which gives out credentials for a service account. */}}
{{- define "mxspark.s3Ports" -}}
{{- $endpoint := .Values.s3.endpoint | default "https://" -}}
{{- $port := regexFind "[0-9]+$" (regexFind "^https?://[^/]*:[0-9]+" $endpoint) | default (ternary "80" "443" (hasPrefix "http://" $endpoint)) -}}
{{- $credentials := ternary (list "443") list (empty .Values.s3.secretName) -}}
{{- concat (list $port) $credentials | uniq | toYaml -}}
{{- end -}}
