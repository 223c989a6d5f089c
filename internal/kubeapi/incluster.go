package kubeapi

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// podServiceAccount is where a pod finds the credentials of its service account.
const podServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// inCluster returns the connection that a pod has.
func inCluster(folder string, log *slog.Logger) (*connection, error) {
	if folder == "" {
		folder = podServiceAccount
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("inCluster: this is not a pod in a cluster, as the variables KUBERNETES_SERVICE_HOST and " +
			"KUBERNETES_SERVICE_PORT are not both set; use kubeConfigFile elsewhere")
	}
	token, err := newTokenFile(filepath.Join(folder, "token"), log)
	if err != nil {
		return nil, fmt.Errorf("inCluster: %w", err)
	}
	path := filepath.Join(folder, "ca.crt")
	pem, err := os.ReadFile(path) //nolint:gosec // G304: the service account's, or the operator's
	if err != nil {
		return nil, fmt.Errorf("inCluster: read the certificate of the cluster: %w", err)
	}
	roots, err := authorities(pem)
	if err != nil {
		return nil, fmt.Errorf("inCluster: %s: %w", path, err)
	}
	namespace, err := podNamespace(folder, token.token)
	if err != nil {
		return nil, fmt.Errorf("inCluster: %w", err)
	}
	return &connection{
		server:      &url.URL{Scheme: "https", Host: net.JoinHostPort(strings.Trim(host, "[]"), port)},
		namespace:   namespace,
		tls:         &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		credentials: token,
	}, nil
}

// podNamespace returns the namespace: that of the environment, of the token, or of the service account, in this order.
func podNamespace(folder, token string) (string, error) {
	if namespace := os.Getenv("KUBERNETES_POD_NAMESPACE"); namespace != "" {
		return namespace, checkNamespace(namespace)
	}
	if namespace := namespaceOf(token); namespace != "" {
		return namespace, checkNamespace(namespace)
	}
	data, err := os.ReadFile(filepath.Join(folder, "namespace")) //nolint:gosec // G304: as the token
	if err != nil {
		return "", fmt.Errorf("find the namespace: KUBERNETES_POD_NAMESPACE is not set, and: %w", err)
	}
	namespace := strings.TrimSpace(string(data))
	return namespace, checkNamespace(namespace)
}

// namespaceOf returns the namespace that an old kind of token names, a JWT; empty where there is none. Nobody checks
// the signature, because whoever can write the token can write any.
func namespaceOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Namespace string `json:"kubernetes.io/serviceaccount/namespace"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Namespace
}
