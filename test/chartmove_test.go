package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// upstreamObjects stand for what upstream's chart leaves in a namespace: its names, labels, selectors and roles, by which an upgrade
// succeeds or not.
const upstreamObjects = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: dex, labels: LABELS}
---
apiVersion: v1
kind: Secret
metadata: {name: dex, labels: LABELS}
stringData: {config.yaml: "issuer: http://old.example.com/dex"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: dex, labels: LABELS}
rules: [{apiGroups: [dex.coreos.com], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: dex, labels: LABELS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: dex}
subjects: [{kind: ServiceAccount, name: dex, namespace: moved}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: dex, labels: LABELS}
rules: [{apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [list, create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: dex-cluster, labels: LABELS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: dex}
subjects: [{kind: ServiceAccount, name: dex, namespace: moved}]
---
apiVersion: v1
kind: Service
metadata: {name: dex, labels: LABELS}
spec:
  selector: SELECTOR
  ports:
  - {name: http, port: 5556, targetPort: http, appProtocol: http}
  - {name: telemetry, port: 5558, targetPort: telemetry, appProtocol: http}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: dex, labels: LABELS}
spec:
  selector: {matchLabels: SELECTOR}
  template:
    metadata: {labels: SELECTOR}
    spec:
      serviceAccountName: dex
      containers:
      - name: dex
        image: ghcr.io/dexidp/dex:v2.44.0
        args: [dex, serve, --web-http-addr, "0.0.0.0:5556", --telemetry-addr, "0.0.0.0:5558", /etc/dex/config.yaml]
        ports: [{name: http, containerPort: 5556}, {name: telemetry, containerPort: 5558}]
        volumeMounts: [{name: config, mountPath: /etc/dex, readOnly: true}]
      volumes: [{name: config, secret: {secretName: dex}}]
`

// wantUpstreamsReleaseUpgraded upgrades a release of upstream's chart to ours, with the same command, and on to another storage.
func (o *operator) wantUpstreamsReleaseUpgraded(t *testing.T) {
	t.Helper()
	selector := `{app.kubernetes.io/name: dex, app.kubernetes.io/instance: dex}`
	labels := strings.TrimSuffix(selector, "}") + `, helm.sh/chart: dex-0.24.0, app.kubernetes.io/version: "2.44.0", app.kubernetes.io/managed-by: Helm}`
	templates := filepath.Join(o.folder, "old", "templates")
	if err := os.MkdirAll(templates, 0o750); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Dir(templates), "Chart.yaml", "apiVersion: v2\nname: dex\nversion: 0.24.0\nappVersion: 2.44.0\n")
	writeFile(t, templates, "all.yaml", strings.NewReplacer("LABELS", labels, "SELECTOR", selector).Replace(upstreamObjects))
	const identities = "kubectl -n moved get deployments,services,serviceaccounts,roles,rolebindings --output 'jsonpath={.items[*].metadata.uid}'"
	o.run(t, "helm install -n moved --create-namespace dex ./old")
	before := o.run(t, identities)
	o.run(t, "helm upgrade --install -n moved dex dex/dex --values values.yaml")
	if after := o.run(t, identities); after != before {
		t.Errorf("the objects are others: %s, then %s", before, after)
	}
	if out, err := o.try(t, "kubectl get clusterrole dex"); err == nil {
		t.Errorf("the rights in the cluster are still there: %s", out)
	}
	writeFile(t, o.folder, "sqlite.yaml", `
config: {issuer: "https://sso.example.com/dex", storage: {type: sqlite3, config: {file: /var/dex/dex.db}}}
persistence: {enabled: true}
`)
	o.run(t, "helm upgrade --install -n moved dex dex/dex --values sqlite.yaml")
	wantContains(t, o.run(t, "kubectl -n moved get deployment dex --output yaml"), "type: Recreate", "claimName: dex")
	o.run(t, "helm uninstall -n moved dex")
	wantContains(t, o.run(t, "kubectl -n moved get persistentvolumeclaims"), "dex")
}
