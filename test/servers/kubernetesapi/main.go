// Command kubernetesapi is the part of a Kubernetes API server that serves custom resources, in Kubernetes's own code: the
// definitions, and the objects with their lists, watches and preconditions. There are no namespaces, pods or roles; any
// namespace may be used, and a file says who may do what.
//
// It is a separate program because it is large: tests of other storages should not link it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.opentelemetry.io/otel/trace/noop"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	etcd := flag.String("etcd", "", "URL of the etcd server that keeps the objects")
	listen := flag.String("listen", "", "host:port to serve HTTPS on")
	certFile := flag.String("cert", "", "certificate of the server")
	keyFile := flag.String("key", "", "key of the server")
	clientCA := flag.String("client-ca", "", "certificate of the authority of clients; their common name is the user")
	policyFile := flag.String("policy", "", "who may do what, see policy.go; read again at each request")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := serve(ctx, settings{*etcd, *listen, *certFile, *keyFile, *clientCA, *policyFile})
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubernetesapi:", err)
		os.Exit(1)
	}
}

type settings struct {
	etcd, listen, certFile, keyFile, clientCA, policyFile string
}

// serve serves until the context ends.
func serve(ctx context.Context, s settings) error {
	config, err := s.config(ctx)
	if err != nil {
		return err
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return err
	}
	return server.GenericAPIServer.PrepareRun().RunWithContext(ctx)
}

func (s settings) config(ctx context.Context) (*apiserver.Config, error) {
	o, err := s.options(ctx)
	if err != nil {
		return nil, err
	}
	generic := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	if err := errors.Join(
		o.ServerRunOptions.ApplyTo(&generic.Config),
		o.RecommendedOptions.ApplyTo(generic),
		o.APIEnablement.ApplyTo(&generic.Config, apiserver.DefaultAPIResourceConfigSource(), apiserver.Scheme),
	); err != nil {
		return nil, err
	}
	if err := s.protect(&generic.Config); err != nil {
		return nil, err
	}
	namer := openapi.NewDefinitionNamer(apiserver.Scheme, scheme.Scheme)
	generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(generatedopenapi.GetOpenAPIDefinitions, namer)
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, namer)
	return &apiserver.Config{
		GenericConfig: generic,
		ExtraConfig: apiserver.ExtraConfig{
			CRDRESTOptionsGetter: options.NewCRDRESTOptionsGetter(*o.RecommendedOptions.Etcd,
				generic.ResourceTransformers, generic.StorageObjectCountTracker),
			ServiceResolver: noServices{},
			AuthResolverWrapper: webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil,
				generic.LoopbackClientConfig, noop.NewTracerProvider()),
		},
	}, nil
}

// options are the server's options, without those that need the rest of a cluster.
func (s settings) options(ctx context.Context) (*options.CustomResourceDefinitionsServerOptions, error) {
	o := options.NewCustomResourceDefinitionsServerOptions(os.Stdout, os.Stderr)
	r := o.RecommendedOptions
	r.Authentication, r.Authorization, r.CoreAPI, r.Admission = nil, nil, nil, nil
	r.Features.EnablePriorityAndFairness = false
	r.Etcd.StorageConfig.Transport.ServerList = []string{s.etcd}
	r.SecureServing.ServerCert.CertKey = genericoptions.CertKey{CertFile: s.certFile, KeyFile: s.keyFile}
	if err := errors.Join(o.Complete(), o.Validate()); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return nil, err
	}
	r.SecureServing.Listener = listener
	return o, nil
}

// protect makes the policy authenticate and authorize requests.
func (s settings) protect(c *genericapiserver.Config) error {
	ca, err := dynamiccertificates.NewDynamicCAContentFromFile("client-ca", s.clientCA)
	if err != nil {
		return err
	}
	if err := c.Authentication.ApplyClientCert(ca, c.SecureServing); err != nil {
		return err
	}
	p := &policyFile{path: s.policyFile, clientCA: ca}
	c.Authentication.Authenticator, c.Authorization.Authorizer = p, authorizer.AuthorizerFunc(p.authorize)
	return nil
}

type noServices struct{}

func (noServices) ResolveEndpoint(namespace, name string, _ int32) (*url.URL, error) {
	return nil, fmt.Errorf("there is no service %s in %s", name, namespace)
}
