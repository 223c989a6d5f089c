package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"dex/internal/config"
	"dex/internal/server"
	"dex/internal/store/sealed"
	"dex/internal/ui"
)

// dirVariable stands for frontend.dir where that is not set.
const dirVariable = "DEX_FRONTEND_DIR"

// A fileChecker is settings that name files.
type fileChecker interface {
	// CheckFiles returns what is wrong with the files, by the key that names them; nil for nothing. It writes nothing.
	CheckFiles() map[string]error
}

// A fileWarner is settings that name files which work, but have something to be told.
type fileWarner interface {
	// WarnFiles returns it by the key that names the file; an empty text is nothing.
	WarnFiles() map[string]string
}

// CheckFiles looks at the files that the configuration names, and returns which of them can't be used. Only the machine that
// the server runs on has them.
func (p *Plan) CheckFiles() config.Problems {
	found := slices.Concat(p.checkPages(), p.checkCertificates(), p.checkKeyFile(), p.checkVaultCA(), p.checkResources(),
		p.checkAttestationRoots(), p.checkMailCA(), p.checkAuditFiles(), p.checkTracesCA())
	found = append(found, checkFiles(p.Config.Storage.Config.Problem, p.backend.settings)...)
	for _, d := range p.connectors {
		found = append(found, checkFiles(d.Problem, d.Config)...)
	}
	return found
}

// nameFiles remembers what the files are like that somebody would have to read again when they change.
func (p *Plan) nameFiles(files *config.Files) {
	files.Folder(p.Config.Frontend.Dir)
	files.Folder(p.Config.Frontend.Messages)
	for _, d := range p.connectors {
		if d.Config == nil {
			continue
		}
		d.Files = files.Named(d.Config)
		d.FilesUnusable = len(checkFiles(d.Problem, d.Config).Errors()) > 0
	}
}

// unusableFiles returns what is wrong with the files of the connectors.
func (p *Plan) unusableFiles() config.Problems {
	var found config.Problems
	for _, d := range p.connectors {
		if d.FilesUnusable {
			found = append(found, checkFiles(d.Problem, d.Config).Errors()...)
		}
	}
	return found
}

func checkFiles(problem func(key, format string, args ...any) config.Problem, settings any) config.Problems {
	checker, ok := settings.(fileChecker)
	if !ok {
		return nil
	}
	var found config.Problems
	mistakes := checker.CheckFiles()
	for _, key := range slices.Sorted(maps.Keys(mistakes)) {
		if err := mistakes[key]; err != nil {
			found = append(found, problem(key, "%s", reason(key, err)))
		}
	}
	if warner, ok := settings.(fileWarner); ok {
		for key, warning := range warner.WarnFiles() {
			if warning != "" {
				p := problem(key, "%s", warning)
				p.Warning = true
				found = append(found, p)
			}
		}
	}
	return found
}

// reason words what is wrong with a file, below its key.
func reason(key string, err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("can't %s %s: %v", path.Op, path.Path, path.Err)
	}
	return strings.TrimPrefix(err.Error(), key+": ")
}

// fileProblem is about a setting at the top of the file, or about the variable that stands for it there.
func (p *Plan) fileProblem(key, variable string, err error) config.Problem {
	if variable != "" && !p.Config.File.Has(key) {
		return config.Problem{File: "environment", Key: variable, Message: reason(key, err)}
	}
	return p.Config.File.Problem(key, "%s", reason(key, err))
}

func (p *Plan) checkPages() config.Problems {
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil {
		return nil // was reported already
	}
	pages, err := newPages(p.Config.Frontend, issuer, slog.New(slog.DiscardHandler))
	languages, aboutLanguages := errors.AsType[*errLanguages](err)
	switch {
	case err == nil:
		defer pages.Close() //nolint:errcheck // nothing was written
		return slices.Concat(p.checkPolicy(pages), p.checkLogos(pages))
	case aboutLanguages:
		return config.Problems{p.fileProblem(languages.key, "", err)}
	case errors.Is(err, ui.ErrNoTheme):
		return config.Problems{p.fileProblem("frontend.theme", "", err)}
	}
	return config.Problems{p.fileProblem("frontend.dir", dirVariable, err)}
}

// checkPolicy warns of pages that the default Content-Security-Policy takes something from.
func (p *Plan) checkPolicy(pages *ui.UI) config.Problems {
	if p.Config.Web.Headers.ContentSecurityPolicy != nil {
		return nil
	}
	var found config.Problems
	for _, need := range pages.PolicyNeeds() {
		key, variable := "frontend.dir", dirVariable
		if need.File == ui.LogoKey || need.File == ui.LogoDarkKey {
			key, variable = need.File, ""
		}
		if key == ui.LogoKey && p.Config.Frontend.Brand.LogoURL != "" {
			key = "frontend.brand.logoURL"
		}
		problem := p.fileProblem(key, variable,
			fmt.Errorf("browsers leave out parts of the pages: %s (%s needs %s)", policyHint, need.File, need.Directives))
		problem.Warning = true
		found = append(found, problem)
	}
	return found
}

// checkCertificates looks at the certificates of the listeners.
func (p *Plan) checkCertificates() config.Problems {
	var found config.Problems
	if w := p.Config.Web; w.HTTPS != "" {
		found = p.checkCertificate("web", w.TLSCert, w.TLSKey)
	}
	g, a := p.Config.GRPC, p.Config.API
	found = append(found, p.checkDoor("grpc", g.Addr, g.TLSCert, g.TLSKey, g.TLSClientCA)...)
	return append(found, p.checkDoor("api", a.Addr, a.TLSCert, a.TLSKey, a.TLSClientCA)...)
}

// checkDoor looks at the files of a listener of the management API.
func (p *Plan) checkDoor(section, addr, cert, key, clientCA string) config.Problems {
	if addr == "" || cert == "" {
		return nil
	}
	found := p.checkCertificate(section, cert, key)
	if clientCA != "" {
		if _, err := server.NewAuthorities(clientCA, slog.New(slog.DiscardHandler)); err != nil {
			found = append(found, p.fileProblem(section+".tlsClientCA", "", err))
		}
	}
	return found
}

// checkCertificate looks at the certificate and the key of a section.
func (p *Plan) checkCertificate(section, cert, key string) config.Problems {
	var found config.Problems
	for _, file := range [][2]string{{section + ".tlsCert", cert}, {section + ".tlsKey", key}} {
		if _, err := os.ReadFile(file[1]); err != nil {
			found = append(found, p.fileProblem(file[0], "", err))
		}
	}
	if found != nil {
		return found
	}
	c, err := server.NewCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		return config.Problems{p.fileProblem(section+".tlsCert", "", err)}
	}
	if text := c.Expiring(time.Now()); text != "" {
		warning := p.Config.File.Problem(section+".tlsCert", "%s", text)
		warning.Warning = true
		found = append(found, warning)
	}
	return found
}

// checkKeyFile reads the storage keys, also those of the environment.
func (p *Plan) checkKeyFile() config.Problems {
	const key = "storage.keyFile"
	keys, err := sealed.ReadKeys(config.OS, p.Config.Storage.KeyFile)
	if err != nil {
		return config.Problems{p.fileProblem(key, sealed.FileVariable, err)}
	}
	var found config.Problems
	for _, warning := range keys.Warnings() {
		problem := p.fileProblem(key, sealed.FileVariable, errors.New(warning))
		problem.Warning = true
		found = append(found, problem)
	}
	return found
}

func (p *Plan) checkVaultCA() config.Problems {
	vault, ok := p.Config.VaultSigning()
	if !ok || vault.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(vault.CAFile)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		err = fmt.Errorf("there is no certificate in %s", vault.CAFile)
	}
	if err == nil {
		return nil
	}
	return config.Problems{{File: "environment", Key: "VAULT_CACERT", Message: reason("", err)}}
}
