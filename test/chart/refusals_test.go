package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusals shows that values which can't work are refused before anything is installed, by a message that says what is
// allowed.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const onePod = "config: {issuer: 'https://dex.example.com', storage: {type: "
	for name, test := range map[string]struct{ values, want string }{
		"no configuration":         {"", "config.issuer is missing: set the public URL of Dex"},
		"no storage":               {"config: {issuer: 'https://dex.example.com'}", "config.storage.type is missing: set kubernetes, postgres, mysql, etcd, sqlite3 or memory"},
		"unknown storage":          {onePod + "postgresql}}", `config.storage.type: "postgresql" is unknown; set kubernetes, postgres,`},
		"storage without place":    {onePod + "kubernetes}}", "config.storage.config: set inCluster: true"},
		"Secret without name":      {"configSecret: {create: false}", "configSecret.name is missing"},
		"pods with memory":         {onePod + "memory}}\nreplicaCount: 2", "replicaCount: pods can't share the storage memory"},
		"pods with SQLite":         {onePod + "sqlite3}}\nautoscaling: {enabled: true}", "autoscaling: pods can't share the storage sqlite3"},
		"pods with SQLite, Secret": {"configSecret: {create: false, name: s, storageType: sqlite3}\nreplicaCount: 3", "replicaCount: pods can't share the storage sqlite3"},
		"autoscaling":              {minimal + "autoscaling: {enabled: true, minReplicas: 3, maxReplicas: 2}", "autoscaling.minReplicas must not be more than"},
		"HTTPS":                    {minimal + "https: {enabled: true}", "https: there is no certificate. Set https.existingSecret"},
		"HTTPS only":               {minimal + "  web: {http: 0.0.0.0:80}\nhttps: {only: true, existingSecret: s}", "https.only: remove config.web.http"},
		"Ingress to HTTPS":         {minimal + "ingress: {servicePort: https}", "ingress.servicePort: https needs https.enabled"},
		"Ingress to HTTP":          {minimal + "ingress: {servicePort: http}\nhttps: {only: true, existingSecret: s}", "ingress.servicePort: http is off"},
		"budget":                   {minimal + "podDisruptionBudget: {enabled: true, minAvailable: 1, maxUnavailable: 1}", "set minAvailable or maxUnavailable, not both"},
		"route":                    {minimal + "httpRoute: {enabled: true}", "httpRoute.parentRefs: name the Gateway"},
		"volume without SQLite":    {minimal + "persistence: {enabled: true}", "only config.storage.type sqlite3 keeps a file"},
		"SQLite elsewhere":         {onePod + "sqlite3, config: {file: /tmp/dex.db}}}\npersistence: {enabled: true}", "for example /var/dex/dex.db"},

		"schema: misspelt":    {minimal + "ingres: {enabled: true}", "additional properties 'ingres' not allowed"},
		"schema: misspelt in": {minimal + "ingress: {enable: true}", "at '/ingress': additional properties 'enable' not allowed"},
		"schema: type":        {minimal + "replicaCount: two", "at '/replicaCount': got string, want integer"},
		"schema: service":     {minimal + "service: {type: Nodeport}", "must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'"},
		"schema: port":        {minimal + "service: {ports: {http: {port: 70000}}}", "at '/service/ports/http/port': maximum: got 70,000, want 65,535"},
		"schema: pull policy": {minimal + "image: {pullPolicy: always}", "must be one of 'Always', 'IfNotPresent', 'Never'"},
		"schema: path type":   {minimal + "ingress: {hosts: [{host: h, paths: [{path: /, pathType: prefix}]}]}", "must be one of 'Exact', 'Prefix', 'ImplementationSpecific'"},
		"schema: label":       {minimal + "podLabels: {a: true}", "at '/podLabels/a': got boolean, want string"},
		"schema: budget":      {minimal + "podDisruptionBudget: {minAvailable: half}", "at '/podDisruptionBudget/minAvailable': 'half' does not match"},
		"schema: storage":     {"configSecret: {storageType: sqlite}", "must be one of '', 'kubernetes', 'postgres', 'mysql', 'etcd', 'sqlite3', 'memory'"},
		"schema: access mode": {minimal + "persistence: {accessModes: [RWO]}", "must be one of 'ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany'"},
		"schema: mount":       {minimal + "volumeMounts: [{name: a}]", "missing property 'mountPath'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := template(t, test.values)
			if err == nil {
				t.Fatalf("rendered:\n%s", out)
			}
			contains(t, err.Error(), test.want)
		})
	}
}

// TestOldClusters renders for the oldest cluster that the chart is for, where pods can't sleep before they stop.
func TestOldClusters(t *testing.T) {
	t.Parallel()
	r := render(t, minimal+"autoscaling: {enabled: true}\npodDisruptionBudget: {enabled: true}\n", "--kube-version", "1.23.0")
	if r.container(t).Lifecycle != nil {
		t.Error("an old cluster would refuse the pods")
	}
	if _, err := template(t, minimal, "--kube-version", "1.22.0"); err == nil {
		t.Error("rendered for a cluster that is too old")
	}
}

// TestValueSets renders the value sets in the chart's folder ci, as upstream's chart has them.
func TestValueSets(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(folder + "/ci/*-values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			render(t, string(text))
			if out, err := helm(t, string(text), "lint", folder, "--strict", "--values", "-", "--kube-version", clusterVersion); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestLint checks the chart without values.
func TestLint(t *testing.T) {
	t.Parallel()
	out, err := helm(t, "", "lint", folder, "--kube-version", clusterVersion)
	if err != nil || strings.Contains(out, "WARNING") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNotes shows what is printed after an installation: the next step, and what may not work as intended.
func TestNotes(t *testing.T) {
	t.Parallel()
	const http = "config: {issuer: 'http://dex.example.com/dex', storage: {type: memory}}\n"
	for name, test := range map[string]struct{ values, want string }{
		"no way in":         {minimal, "port-forward service/dex 5556:http\n   curl http://127.0.0.1:5556/dex/.well-known/openid-configuration"},
		"HTTPS only":        {minimal + "https: {only: true, existingSecret: s}", "5554:https\n   curl --insecure https://127.0.0.1:5554/dex/.well-known/openid-configuration"},
		"Ingress":           {minimal + "ingress: {enabled: true, hosts: [{host: dex.example.com, paths: [{path: /dex}]}]}", "curl https://dex.example.com/dex/.well-known/openid-configuration"},
		"load balancer":     {minimal + "service: {type: LoadBalancer, ports: {http: {port: 8080}}}", "The load balancer's port is 8080;"},
		"node port":         {minimal + "service: {type: NodePort}", "kubectl --namespace identity get service dex"},
		"other host":        {minimal + "ingress: {enabled: true}", "WARNING: The Ingress is for chart-example.local, but the issuer's host is dex.example.com"},
		"memory":            {http, "WARNING: The storage memory loses everything"},
		"plain HTTP":        {http, "WARNING: The issuer begins with http://"},
		"SQLite in the pod": {"config: {issuer: 'https://d', storage: {type: sqlite3, config: {file: /tmp/d}}}", "WARNING: SQLite's file is not on a volume"},
		"unknown storage":   {"configSecret: {create: false, name: s}\nreplicaCount: 2", "WARNING: The chart doesn't know your configuration's storage."},
		"no definitions":    {minimal + "crds: {create: false}", "WARNING: The definitions of the custom resources must be there already"},
		"proxy":             {minimal + "ingress: {enabled: true}", "WARNING: Behind a proxy Dex sees one address"},
		"budget":            {minimal + "podDisruptionBudget: {enabled: true, minAvailable: 1}", "WARNING: The only pod must stay available"},
		"gRPC":              {minimal + "grpc: {enabled: true}", "WARNING: The management API can't be reached from outside of the pod"},
		"gRPC for anybody":  {minimal + "  grpc: {insecureAnonymous: true}\ngrpc: {enabled: true}", "WARNING: The management API lets whoever reaches it"},
		"gRPC in clear":     {minimal + "  api: {adminTokens: true}\ngrpc: {enabled: true}", "WARNING: The management API is not encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contains(t, notes(t, test.values), test.want)
		})
	}
	t.Run("nothing to warn of", func(t *testing.T) {
		t.Parallel()
		if text := notes(t, minimal); strings.Contains(text, "WARNING") {
			t.Error(text)
		}
	})
}

// notes returns what helm prints after an installation.
func notes(t *testing.T, values string) string {
	t.Helper()
	// Notes are rendered at an installation only: a template makes them an object here.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	was := filepath.Join(dir, "templates", "NOTES.txt")
	text, err := os.ReadFile(was)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := `{{- define "notes" }}` + string(text) + `{{- end }}` + "\nnotes: {{ include \"notes\" . | quote }}\n"
	if err := os.WriteFile(filepath.Join(dir, "templates", "notes.yaml"), []byte(wrapped), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := helm(t, values, "template", "dex", dir, "--namespace", "identity", "--values", "-", "--kube-version", clusterVersion,
		"--show-only", "templates/notes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`\n`, "\n", `\"`, `"`).Replace(out)
}
