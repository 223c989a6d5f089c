package config

import "regexp"

// namespaceName is a DNS label of RFC 1123, as Kubernetes requires of the name of a namespace. It has no dot, which is what keeps
// the ids of its clients apart from those of other namespaces.
var namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (v *validator) kubernetes() {
	const key = "kubernetes.resources"
	r := v.cfg.Kubernetes.Resources
	if r == nil {
		return
	}
	switch {
	case r.InCluster && r.KubeConfigFile != "":
		v.Errorf(key, "cannot specify both inCluster and kubeConfigFile; keep one of them")
	case !r.InCluster && r.KubeConfigFile == "" && !v.IsBroken(key+".inCluster"):
		v.Errorf(key, "must specify either inCluster: true or kubeConfigFile")
	}
	if r.Namespace != "" {
		v.namespace(key+".namespace", r.Namespace)
	}
	seen := map[string]bool{}
	for i, name := range r.ClientNamespaces {
		at := Item(key+".clientNamespaces", i)
		v.namespace(at, name)
		if seen[name] {
			v.Warnf(at, "%q is in the list already", name)
		}
		seen[name] = true
	}
}

func (v *validator) namespace(key, name string) {
	if !namespaceName.MatchString(name) {
		v.Errorf(key, "%q is not the name of a namespace, which has lower-case letters, digits and -, and no other characters", name)
	}
}
