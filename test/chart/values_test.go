package chart

import (
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// sql is a configuration for a storage outside of the cluster.
const sql = `
config:
  issuer: https://dex.example.com/dex
  storage: {type: postgres, config: {host: db}}
`

// TestValues sets each value, or group of values that belong together, and looks at what it renders.
func TestValues(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values string
		want   func(t *testing.T, r rendered)
	}{
		"nothing but a configuration": {minimal, wantMinimal},
		"S2-15: Deployment, Service, Ingress": {minimal + "ingress: {enabled: true}\n", func(t *testing.T, r rendered) {
			_ = one[*appsv1.Deployment](t, r)
			_ = one[*corev1.Service](t, r)
			ingress := one[*networkingv1.Ingress](t, r)
			backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
			equal(t, backend.Name+":"+backend.Port.Name, "dex:http")
			equal(t, ingress.Spec.Rules[0].Host, "chart-example.local")
			equal(t, *ingress.Spec.Rules[0].HTTP.Paths[0].PathType, networkingv1.PathTypeImplementationSpecific)
		}},
		"a storage outside of the cluster": {sql, func(t *testing.T, r rendered) {
			equal(t, r.kinds(), map[string]int{"Deployment": 1, "Service": 1, "Secret": 1, "ServiceAccount": 1, "Pod": 1})
			equal(t, *r.pod(t).AutomountServiceAccountToken, false)
		}},
		"the account's token": {sql + "serviceAccount: {automountToken: true}\n", func(t *testing.T, r rendered) {
			equal(t, *r.pod(t).AutomountServiceAccountToken, true)
		}},
		"the account's token, named in the configuration": {sql +
			"  connectors: [{type: openshift, id: o, name: o, config: {clientSecret: /var/run/secrets/kubernetes.io/serviceaccount/token}}]\n",
			func(t *testing.T, r rendered) { equal(t, *r.pod(t).AutomountServiceAccountToken, true) }},
		"the account's token, to check those of the management API's callers": {sql + "  api: {access: [{name: o, roles: [all], serviceAccount: {namespace: n, name: o}}]}\n",
			func(t *testing.T, r rendered) { equal(t, *r.pod(t).AutomountServiceAccountToken, true) }},
		"replicaCount": {minimal + "replicaCount: 3\n", func(t *testing.T, r rendered) {
			equal(t, *one[*appsv1.Deployment](t, r).Spec.Replicas, 3)
		}},
		"nameOverride, namespaceOverride": {minimal + "nameOverride: sso\nnamespaceOverride: other\n", func(t *testing.T, r rendered) {
			d := one[*appsv1.Deployment](t, r)
			equal(t, d.Name, "dex-sso")
			for _, object := range r {
				if m := metadata(t, object); m.GetNamespace() != "other" && !strings.HasSuffix(m.GetName(), ".dex.coreos.com") {
					t.Errorf("%T is in the namespace %q", object, m.GetNamespace())
				}
			}
			equal(t, d.Spec.Selector.MatchLabels["app.kubernetes.io/name"], "sso")
		}},
		"fullnameOverride": {minimal + "fullnameOverride: idp\n", func(t *testing.T, r rendered) {
			for _, object := range r {
				if name := metadata(t, object).GetName(); !strings.HasPrefix(name, "idp") && !strings.HasSuffix(name, ".dex.coreos.com") {
					t.Errorf("%T is called %s", object, name)
				}
			}
		}},
		"commonLabels": {minimal + "commonLabels: {team: identity}\n", func(t *testing.T, r rendered) {
			for _, object := range r {
				if _, isTest := object.(*corev1.Pod); !isTest {
					equal(t, metadata(t, object).GetLabels()["team"], "identity")
				}
			}
			d := one[*appsv1.Deployment](t, r)
			equal(t, d.Spec.Template.Labels["team"], "identity")
			equal(t, d.Spec.Selector.MatchLabels["team"], "")
		}},
		"labels and annotations": {minimal + `
deploymentLabels: {dl: a}
deploymentAnnotations: {da: b}
podLabels: {pl: c, app.kubernetes.io/name: something-else}
podAnnotations: {pa: d}
`, func(t *testing.T, r rendered) {
			d := one[*appsv1.Deployment](t, r)
			equal(t, d.Labels["dl"]+d.Annotations["da"]+d.Spec.Template.Labels["pl"]+d.Spec.Template.Annotations["pa"], "abcd")
			equal(t, d.Spec.Template.Labels["app.kubernetes.io/name"], "dex")
			if len(d.Spec.Template.Annotations["checksum/config"]) != 64 {
				t.Error("the pods don't change with the configuration")
			}
		}},
		"image": {minimal + "image: {repository: 'registry/{{ .Chart.Name }}', tag: 'v{{ 1 }}', pullPolicy: Always}\nimagePullSecrets: [{name: pull}]\n",
			func(t *testing.T, r rendered) {
				equal(t, r.container(t).Image, "registry/dex:v1")
				equal(t, r.container(t).ImagePullPolicy, corev1.PullAlways)
				equal(t, r.pod(t).ImagePullSecrets[0].Name, "pull")
				equal(t, one[*corev1.Pod](t, r).Spec.Containers[0].Image, "registry/dex:v1")
				equal(t, one[*corev1.Pod](t, r).Spec.ImagePullSecrets[0].Name, "pull")
			}},
		"image.digest": {minimal + "image: {repository: r, tag: v1, digest: 'sha256:abc'}\n", func(t *testing.T, r rendered) {
			equal(t, r.container(t).Image, "r@sha256:abc")
		}},
		"https": {minimal + "https: {enabled: true, existingSecret: tls-of-dex}\n", func(t *testing.T, r rendered) {
			equal(t, arguments(r.container(t)), "dex serve --web-http-addr 0.0.0.0:5556 --web-https-addr 0.0.0.0:5554 --telemetry-addr 0.0.0.0:5558 /etc/dex/config.yaml")
			equal(t, ports(t, r), "http:5556/http https:5554/https telemetry:5558/http")
			contains(t, r.config(t), "tlsCert: /etc/dex-tls/tls.crt", "tlsKey: /etc/dex-tls/tls.key")
			equal(t, volume(t, r, "/etc/dex-tls").Secret.SecretName, "tls-of-dex")
		}},
		"https with a certificate in the configuration": {minimal + "  web: {tlsCert: /a, tlsKey: /b}\nhttps: {enabled: true, existingSecret: s}\n",
			func(t *testing.T, r rendered) { contains(t, r.config(t), "tlsCert: /a\n", "tlsKey: /b") }},
		"https.only": {minimal + "https: {only: true, existingSecret: s}\ningress: {enabled: true}\nhttpRoute: {enabled: true, parentRefs: [{name: g}]}\nnetworkPolicy: {enabled: true}\n",
			func(t *testing.T, r rendered) {
				equal(t, arguments(r.container(t)), "dex serve --web-https-addr 0.0.0.0:5554 --telemetry-addr 0.0.0.0:5558 /etc/dex/config.yaml")
				equal(t, ports(t, r), "https:5554/https telemetry:5558/http")
				equal(t, one[*networkingv1.Ingress](t, r).Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port.Name, "https")
				equal(t, *one[*gateway.HTTPRoute](t, r).Spec.Rules[0].BackendRefs[0].Port, 5554)
				equal(t, one[*networkingv1.NetworkPolicy](t, r).Spec.Ingress[0].Ports[0].Port.StrVal, "https")
				for _, probe := range []*corev1.Probe{r.container(t).StartupProbe, r.container(t).LivenessProbe, r.container(t).ReadinessProbe} {
					equal(t, probe.HTTPGet.Port.StrVal, "telemetry")
				}
			}},
		"grpc": {minimal + "grpc: {enabled: true}\nnetworkPolicy: {enabled: true}\n", func(t *testing.T, r rendered) {
			contains(t, arguments(r.container(t)), "--grpc-addr 0.0.0.0:5557")
			equal(t, ports(t, r), "http:5556/http grpc:5557/kubernetes.io/h2c telemetry:5558/http")
			equal(t, one[*networkingv1.NetworkPolicy](t, r).Spec.Ingress[0].Ports[1].Port.StrVal, "grpc")
		}},
		"grpc over TLS": {minimal + "  grpc: {tlsCert: /c}\ngrpc: {enabled: true}\n", func(t *testing.T, r rendered) { contains(t, ports(t, r), "grpc:5557/https") }},
		"service.ports.grpc": {minimal + "grpc: {enabled: true}\nservice: {type: NodePort, ports: {grpc: {port: 50, nodePort: 30050, appProtocol: grpc}}}\n",
			func(t *testing.T, r rendered) {
				contains(t, ports(t, r), "grpc:50/grpc")
				equal(t, one[*corev1.Service](t, r).Spec.Ports[1].NodePort, 30050)
			}},
		"configSecret.name": {minimal + "configSecret: {name: my-config}\n", func(t *testing.T, r rendered) {
			equal(t, one[*corev1.Secret](t, r).Name, "my-config")
			equal(t, volume(t, r, "/etc/dex").Secret.SecretName, "my-config")
		}},
		"an existing Secret": {"configSecret: {create: false, name: mine}\n", func(t *testing.T, r rendered) {
			equal(t, len(all[*corev1.Secret](r)), 0)
			equal(t, volume(t, r, "/etc/dex").Secret.SecretName, "mine")
			equal(t, one[*appsv1.Deployment](t, r).Spec.Template.Annotations, nil)
			equal(t, len(all[*rbacv1.Role](r)), 1) // its storage may be kubernetes
			equal(t, *r.pod(t).AutomountServiceAccountToken, true)
		}},
		"an existing Secret whose storage is known": {"configSecret: {create: false, name: mine, storageType: mysql}\n", func(t *testing.T, r rendered) {
			equal(t, len(all[*rbacv1.Role](r))+len(all[*definitions.CustomResourceDefinition](r)), 0)
		}},
		"volumes": {minimal + "volumes: [{name: v, emptyDir: {}}]\nvolumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /tmp/}]\n", func(t *testing.T, r rendered) {
			if volume(t, r, "/v").EmptyDir == nil || len(r.pod(t).Volumes) != 2 {
				t.Errorf("volumes %+v", r.pod(t).Volumes)
			}
		}},
		"the environment": {minimal + `
env: {NUMBER: 1000000, FLAG: true, TEXT: "yes: 1"}
envVars: [{name: HIDDEN, valueFrom: {secretKeyRef: {name: s, key: k}}}]
envFrom: [{secretRef: {name: all}}]
`, func(t *testing.T, r rendered) {
			env := map[string]string{}
			for _, e := range r.container(t).Env {
				env[e.Name] = e.Value
			}
			equal(t, env, map[string]string{"NUMBER": "1000000", "FLAG": "true", "TEXT": "yes: 1", "HIDDEN": ""})
			equal(t, r.container(t).EnvFrom[0].SecretRef.Name, "all")
		}},
		"persistence": {persistent, func(t *testing.T, r rendered) {
			claim := one[*corev1.PersistentVolumeClaim](t, r)
			equal(t, claim.Annotations, map[string]string{"helm.sh/resource-policy": "keep", "a": "b"})
			equal(t, *claim.Spec.StorageClassName+claim.Spec.Resources.Requests.Storage().String(), "fast2Gi")
			equal(t, volume(t, r, "/data").PersistentVolumeClaim.ClaimName, claim.Name)
			equal(t, one[*appsv1.Deployment](t, r).Spec.Strategy.Type, appsv1.RecreateDeploymentStrategyType)
		}},
		"persistence.existingClaim": {persistent + "  existingClaim: mine\n", func(t *testing.T, r rendered) {
			equal(t, len(all[*corev1.PersistentVolumeClaim](r)), 0)
			equal(t, volume(t, r, "/data").PersistentVolumeClaim.ClaimName, "mine")
		}},
		"serviceAccount": {minimal + "serviceAccount: {name: mine, annotations: {a: b}}\n", func(t *testing.T, r rendered) {
			account := one[*corev1.ServiceAccount](t, r)
			equal(t, account.Name+account.Annotations["a"]+r.pod(t).ServiceAccountName+one[*rbacv1.RoleBinding](t, r).Subjects[0].Name, "minebminemine")
		}},
		"serviceAccount.create": {minimal + "serviceAccount: {create: false}\n", func(t *testing.T, r rendered) {
			equal(t, len(all[*corev1.ServiceAccount](r)), 0)
			equal(t, r.pod(t).ServiceAccountName, "default")
		}},
		"rbac.create": {minimal + "rbac: {create: false, createClusterScoped: true}\n", func(t *testing.T, r rendered) {
			equal(t, len(all[*rbacv1.Role](r))+len(all[*rbacv1.ClusterRole](r)), 0)
		}},
		"rbac.createClusterScoped": {minimal + "rbac: {createClusterScoped: true}\ncrds: {create: false}\n", func(t *testing.T, r rendered) {
			equal(t, one[*rbacv1.ClusterRole](t, r).Rules, documented[*rbacv1.ClusterRole](t).Rules)
			equal(t, one[*rbacv1.ClusterRoleBinding](t, r).Name, "dex-cluster")
			equal(t, len(all[*definitions.CustomResourceDefinition](r)), 0)
		}},
		"rbac.extraRules": {sql + "rbac: {extraRules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}\n", func(t *testing.T, r rendered) {
			equal(t, one[*rbacv1.Role](t, r).Rules, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}})
		}},
		"podDisruptionBudget": {minimal + "podDisruptionBudget: {enabled: true}\n", func(t *testing.T, r rendered) {
			equal(t, one[*policyv1.PodDisruptionBudget](t, r).Spec.MaxUnavailable, new(intstr.FromInt32(1)))
		}},
		"podDisruptionBudget.minAvailable": {minimal + "podDisruptionBudget: {enabled: true, minAvailable: 50%}\n", func(t *testing.T, r rendered) {
			equal(t, one[*policyv1.PodDisruptionBudget](t, r).Spec.MinAvailable, new(intstr.FromString("50%")))
			equal(t, one[*policyv1.PodDisruptionBudget](t, r).Spec.MaxUnavailable, nil)
		}},
		"podDisruptionBudget.maxUnavailable": {minimal + "podDisruptionBudget: {enabled: true, maxUnavailable: 0}\n", func(t *testing.T, r rendered) {
			equal(t, one[*policyv1.PodDisruptionBudget](t, r).Spec.MaxUnavailable, new(intstr.FromInt32(0)))
		}},
		"pods": {minimal + `
hostAliases: [{ip: 192.0.2.1, hostnames: [ldap.example.com]}]
priorityClassName: high
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {}}
topologySpreadConstraints:
- {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}
- {maxSkew: 1, topologyKey: host, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: b}}}
resources: {limits: {memory: 1Gi}}
revisionHistoryLimit: 3
strategy: {rollingUpdate: {maxUnavailable: 0}}
terminationGracePeriodSeconds: 60
preStopSleepSeconds: 7
startupProbe: {failureThreshold: 90}
`, func(t *testing.T, r rendered) {
			pod, c, spec := r.pod(t), r.container(t), one[*appsv1.Deployment](t, r).Spec
			equal(t, pod.HostAliases[0].IP+pod.PriorityClassName+pod.NodeSelector["kubernetes.io/os"]+pod.Tolerations[0].Key, "192.0.2.1highlinuxdedicated")
			equal(t, pod.Affinity.NodeAffinity != nil, true)
			equal(t, pod.TopologySpreadConstraints[0].LabelSelector, spec.Selector)
			equal(t, pod.TopologySpreadConstraints[1].LabelSelector.MatchLabels, map[string]string{"a": "b"})
			equal(t, c.Resources.Limits.Memory().String()+c.Resources.Requests.Memory().String(), "1Gi64Mi")
			equal(t, *spec.RevisionHistoryLimit, 3)
			equal(t, spec.Strategy.RollingUpdate.MaxUnavailable, new(intstr.FromInt32(0)))
			equal(t, *pod.TerminationGracePeriodSeconds, 60)
			equal(t, c.Lifecycle.PreStop.Sleep.Seconds, 7)
			equal(t, c.StartupProbe.FailureThreshold, 90)
			equal(t, c.StartupProbe.HTTPGet.Path, "/healthz/live") // the rest of the default stays
		}},
		"security contexts without ids": {minimal + "podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}\nsecurityContext: {runAsNonRoot: true}\n",
			func(t *testing.T, r rendered) {
				equal(t, r.pod(t).SecurityContext.RunAsUser, nil)
				equal(t, r.pod(t).SecurityContext.SeccompProfile.Type, corev1.SeccompProfileTypeRuntimeDefault)
				equal(t, *r.container(t).SecurityContext.RunAsNonRoot, true)
			}},
		"service": {minimal + "service: {type: LoadBalancer, loadBalancerIP: 192.0.2.7, clusterIP: 10.0.0.9, annotations: {a: b}, ports: {http: {port: 80, nodePort: 32000}}}\n",
			func(t *testing.T, r rendered) {
				s := one[*corev1.Service](t, r)
				equal(t, string(s.Spec.Type)+s.Spec.LoadBalancerIP+s.Spec.ClusterIP+s.Annotations["a"], "LoadBalancer192.0.2.710.0.0.9b")
				equal(t, s.Spec.Ports[0].Port+s.Spec.Ports[0].NodePort, 32080)
			}},
		"node ports are for services that have them": {minimal + "service: {loadBalancerIP: 192.0.2.7, ports: {http: {nodePort: 32000}}}\n", func(t *testing.T, r rendered) {
			equal(t, one[*corev1.Service](t, r).Spec.Ports[0].NodePort, 0)
			equal(t, one[*corev1.Service](t, r).Spec.LoadBalancerIP, "")
		}},
		"ingress": {minimal + `
https: {enabled: true, existingSecret: s}
ingress:
  enabled: true
  className: nginx
  annotations: {nginx.ingress.kubernetes.io/backend-protocol: HTTPS}
  servicePort: https
  hosts: [{host: '{{ .Release.Name }}.example.com', paths: [{path: /dex, pathType: Prefix}]}]
  tls: [{secretName: t, hosts: ['{{ .Release.Name }}.example.com']}]
`, func(t *testing.T, r rendered) {
			i := one[*networkingv1.Ingress](t, r)
			rule := i.Spec.Rules[0]
			equal(t, *i.Spec.IngressClassName+rule.Host+rule.HTTP.Paths[0].Path+string(*rule.HTTP.Paths[0].PathType), "nginxdex.example.com/dexPrefix")
			equal(t, i.Spec.TLS, []networkingv1.IngressTLS{{Hosts: []string{"dex.example.com"}, SecretName: "t"}})
			equal(t, rule.HTTP.Paths[0].Backend.Service.Port.Name, "https")
			equal(t, len(i.Annotations), 1)
		}},
		"httpRoute": {minimal + "httpRoute: {enabled: true, annotations: {a: b}, labels: {c: d}, parentRefs: [{name: public, namespace: gateways, sectionName: https}]}\n",
			func(t *testing.T, r rendered) {
				route := one[*gateway.HTTPRoute](t, r)
				equal(t, route.Annotations["a"]+route.Labels["c"]+string(*route.Spec.ParentRefs[0].SectionName), "bdhttps")
				equal(t, route.Spec.Hostnames, []gateway.Hostname{"dex.example.com"})
				rule := route.Spec.Rules[0]
				equal(t, string(*rule.Matches[0].Path.Type)+*rule.Matches[0].Path.Value, "PathPrefix/dex")
				equal(t, string(rule.BackendRefs[0].Name), "dex")
				equal(t, *rule.BackendRefs[0].Port, 5556)
			}},
		"httpRoute with rules": {minimal + `
httpRoute:
  enabled: true
  parentRefs: [{name: public}]
  hostnames: ['{{ .Release.Name }}.example.org']
  rules: [{timeouts: {request: 60s}, backendRefs: [{name: dex, port: 5556}]}]
`, func(t *testing.T, r rendered) {
			route := one[*gateway.HTTPRoute](t, r)
			equal(t, route.Spec.Hostnames, []gateway.Hostname{"dex.example.org"})
			equal(t, *route.Spec.Rules[0].Timeouts.Request, "60s")
		}},
		"serviceMonitor": {minimal + `
serviceMonitor:
  enabled: true
  namespace: monitoring
  interval: 30s
  scrapeTimeout: 10s
  bearerTokenFile: /token
  labels: {release: prometheus}
  annotations: {a: b}
  scheme: https
  path: /m
  honorLabels: true
  tlsConfig: {insecureSkipVerify: true, serverName: dex}
  metricRelabelings: [{action: keep, regex: '{{ .Release.Name }}_.*', sourceLabels: [__name__]}]
  relabelings: [{action: labeldrop, regex: pod}]
`, func(t *testing.T, r rendered) {
			m := one[*monitoring.ServiceMonitor](t, r)
			e := m.Spec.Endpoints[0]
			equal(t, m.Namespace+m.Labels["release"]+m.Annotations["a"]+m.Spec.NamespaceSelector.MatchNames[0], "monitoringprometheusbidentity")
			equal(t, m.Spec.Selector.MatchLabels, one[*corev1.Service](t, r).Spec.Selector)
			equal(t, e.Port+e.Path+string(e.Interval)+string(e.ScrapeTimeout)+e.BearerTokenFile, "telemetry/m30s10s/token") //nolint:staticcheck // upstream's value
			equal(t, *e.TLSConfig.InsecureSkipVerify, true)
			equal(t, *e.TLSConfig.ServerName, "dex")
			equal(t, e.HonorLabels, true)
			equal(t, e.MetricRelabelConfigs[0].Regex+e.RelabelConfigs[0].Regex, "dex_.*pod")
		}},
		"autoscaling": {minimal + "autoscaling: {enabled: true, minReplicas: 2, maxReplicas: 4, targetMemoryUtilizationPercentage: 70, behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}\n",
			func(t *testing.T, r rendered) {
				h := one[*autoscalingv2.HorizontalPodAutoscaler](t, r)
				equal(t, one[*appsv1.Deployment](t, r).Spec.Replicas, nil)
				equal(t, *h.Spec.MinReplicas*10+h.Spec.MaxReplicas, 24)
				equal(t, *h.Spec.Metrics[0].Resource.Target.AverageUtilization+*h.Spec.Metrics[1].Resource.Target.AverageUtilization, 150)
				equal(t, *h.Spec.Behavior.ScaleDown.StabilizationWindowSeconds, 60)
			}},
		"networkPolicy": {minimal + "networkPolicy: {enabled: true}\n", func(t *testing.T, r rendered) {
			p := one[*networkingv1.NetworkPolicy](t, r).Spec
			equal(t, p.PolicyTypes, []networkingv1.PolicyType{"Ingress"})
			equal(t, len(p.Ingress[0].From)+len(p.Ingress[1].From), 0)
		}},
		"networkPolicy for the management API": {minimal + `
grpc: {enabled: true}
networkPolicy:
  enabled: true
  from: [{namespaceSelector: {matchLabels: {name: ingress}}}]
  grpcFrom: [{podSelector: {matchLabels: {name: admin}}}]
`, func(t *testing.T, r rendered) {
			p := one[*networkingv1.NetworkPolicy](t, r).Spec
			equal(t, len(p.Ingress[0].Ports), 1)
			equal(t, p.Ingress[2].Ports[0].Port.StrVal+p.Ingress[2].From[0].PodSelector.MatchLabels["name"], "grpcadmin")
		}},
		"networkPolicy with peers": {minimal + `
networkPolicy:
  enabled: true
  from: [{namespaceSelector: {matchLabels: {name: ingress}}}]
  telemetryFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  egressRules: [{ports: [{port: 443}]}]
`, func(t *testing.T, r rendered) {
			p := one[*networkingv1.NetworkPolicy](t, r).Spec
			equal(t, p.Ingress[0].From[0].NamespaceSelector.MatchLabels["name"]+p.Ingress[1].From[0].NamespaceSelector.MatchLabels["name"], "ingressmonitoring")
			equal(t, p.PolicyTypes[1], networkingv1.PolicyTypeEgress)
			equal(t, p.Egress[0].Ports[0].Port.IntVal, 443)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.want(t, render(t, test.values))
		})
	}
}

const persistent = `
config:
  issuer: https://dex.example.com
  storage: {type: sqlite3, config: {file: /data/dex.db}}
persistence:
  enabled: true
  storageClass: fast
  size: 2Gi
  annotations: {a: b}
  mountPath: /data
`

// wantMinimal holds the defaults to what hardened clusters ask for.
func wantMinimal(t *testing.T, r rendered) {
	equal(t, r.kinds(), map[string]int{
		"Deployment": 1, "Service": 1, "Secret": 1, "ServiceAccount": 1, "Role": 1, "RoleBinding": 1, "Pod": 1, "CustomResourceDefinition": 8,
	})
	pod, c := r.pod(t), r.container(t)
	equal(t, arguments(c), "dex serve --web-http-addr 0.0.0.0:5556 --telemetry-addr 0.0.0.0:5558 /etc/dex/config.yaml")
	equal(t, ports(t, r), "http:5556/http telemetry:5558/http")
	contains(t, r.config(t), "http: 0.0.0.0:5556", "http: 0.0.0.0:5558")
	equal(t, c.Name+pod.ServiceAccountName, "dexdex")
	contains(t, c.Image, "registry.example.com/dex:v")
	equal(t, *pod.SecurityContext.RunAsUser, 1001)
	equal(t, *c.SecurityContext.ReadOnlyRootFilesystem, true)
	equal(t, c.LivenessProbe.HTTPGet.Path+c.ReadinessProbe.HTTPGet.Path+c.StartupProbe.HTTPGet.Path, "/healthz/live/healthz/ready/healthz/live")
	equal(t, volume(t, r, "/tmp").EmptyDir != nil, true)
	for _, mount := range c.VolumeMounts {
		equal(t, mount.ReadOnly, mount.MountPath != "/tmp")
	}
	if labels.SelectorFromSet(one[*corev1.Service](t, r).Spec.Selector).Matches(labels.Set(one[*corev1.Pod](t, r).Labels)) {
		t.Error("the Service takes the test's pod for one of Dex's")
	}
}
