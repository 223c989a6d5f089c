// Command vault is HashiCorp Vault, in its own code, with the Transit engine and no others. It keeps everything in memory. It is
// a separate module because its dependencies would hold back those of the tests.
//
// It is version 1.1, the last one that can be built as a library without many other modules, so it has no keys on the curves
// P-384 and P-521.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	log "github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/logical"
	"github.com/hashicorp/vault/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	listen := flag.String("listen", "", "host:port to serve HTTPS on")
	certFile := flag.String("cert", "", "certificate of the server")
	keyFile := flag.String("key", "", "key of the server")
	secretsFile := flag.String("secrets", "", "file to write the root token and the key of the seal to, as JSON")
	flag.Parse()
	if err := run(*listen, *certFile, *keyFile, *secretsFile); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

// run serves until the process is ended: there is nothing to save.
func run(listen, certFile, keyFile, secretsFile string) error {
	logger := log.New(&log.LoggerOptions{Output: os.Stderr, Level: log.Info})
	memory, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical: memory, Logger: logger, DisableMlock: true,
		LogicalBackends: map[string]logical.Factory{"transit": transit.Factory},
	})
	if err != nil {
		return err
	}
	if err := unseal(core, secretsFile); err != nil {
		return err
	}
	server := &http.Server{
		Addr: listen, ReadHeaderTimeout: time.Minute,
		Handler: vaulthttp.Handler(&vault.HandlerProperties{Core: core, MaxRequestSize: vaulthttp.DefaultMaxRequestSize}),
	}
	return server.ListenAndServeTLS(certFile, keyFile)
}

// unseal initializes and unseals the server, and writes its root token and unseal key to a file.
func unseal(core *vault.Core, secretsFile string) error {
	made, err := core.Initialize(context.Background(), &vault.InitParams{
		BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
		RecoveryConfig: &vault.SealConfig{},
	})
	if err != nil {
		return err
	}
	secrets, err := json.Marshal(map[string]string{
		"token": made.RootToken, "unseal": hex.EncodeToString(made.SecretShares[0]),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(secretsFile, secrets, 0o600); err != nil {
		return err
	}
	if ok, err := core.Unseal(made.SecretShares[0]); err != nil || !ok {
		return errors.Join(errors.New("it is sealed"), err)
	}
	return nil
}
