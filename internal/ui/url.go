package ui

import (
	"fmt"
	"html/template"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// imageData matches data: URLs of images. A browser never runs scripts in an image, SVG included.
var imageData = regexp.MustCompile(`(?i)^data:image/[a-z0-9.+-]+[;,]`)

// isAbsoluteURL reports whether a link leads away from the issuer: it has a scheme, or a host without one.
func isAbsoluteURL(link string) bool {
	if !strings.Contains(link, ":") { // most links: looking closer takes longer than the rest of them
		return strings.HasPrefix(link, "//")
	}
	if strings.HasPrefix(link, "//") || imageData.MatchString(link) {
		return true
	}
	u, err := url.Parse(link)
	return err == nil && u.Scheme != ""
}

// safeLink is what a template gets for an absolute URL: a plain string, so that the template engine still filters it. Only
// image data is marked safe, because the engine would refuse it in an image's src.
func safeLink(link string) any {
	if imageData.MatchString(link) {
		return template.URL(link) //nolint:gosec // the pattern matches images only
	}
	return link
}

// url is the template function url: a link to an asset, relative to the page at the request path. Our own templates use
// asset; this one is for templates made for upstream.
func (u *UI) url(reqPath, asset string) any {
	if isAbsoluteURL(asset) {
		return safeLink(asset)
	}
	return relativeURL(u.cfg.IssuerPath, reqPath, asset)
}

// relativeURL is the link from the page at a request path to an asset below the issuer path. On the page at the issuer
// path itself the link starts with that path, which is right only if that path has one segment; existing templates may
// rely on either.
func relativeURL(issuerPath, reqPath, asset string) string {
	asset, query, hasQuery := strings.Cut(asset, "?")
	issuer, page, target := segments(issuerPath), segments(reqPath), segments(asset)
	if strings.HasSuffix(reqPath, "/") {
		page = append(page, "") // links of a path that ends in a slash start one level deeper
	}
	switch below := len(page) >= len(issuer) && slices.Equal(page[:len(issuer)], issuer); {
	case !below:
		target = append(issuer, target...)
	case len(page) == len(issuer):
		page, target = nil, append(issuer, target...)
	default:
		page = page[len(issuer):]
	}

	var folders []string // of the page
	if len(page) > 0 {
		folders = page[:len(page)-1]
	}
	for len(folders) > 0 && len(target) > 1 && folders[0] == target[0] {
		folders, target = folders[1:], target[1:]
	}
	link := strings.Repeat("../", len(folders)) + strings.Join(target, "/")
	if hasQuery {
		link += "?" + query
	}
	return link
}

// segments cuts a path, cleaned, into its non-empty segments.
func segments(p string) []string {
	return strings.FieldsFunc(path.Clean("/"+p), func(c rune) bool { return c == '/' })
}

// asset is the template function asset: a rooted link to an asset below the issuer path. It carries a hash of the
// asset's content, so that browsers need not ask again until the content changes.
func (u *UI) asset(name string) any {
	if u.dir.custom != nil {
		return u.link(name)
	}
	link, ok := u.links.Load(name)
	if !ok {
		link = u.link(name)
		u.links.Store(name, link)
	}
	return link
}

func (u *UI) link(name string) any {
	if isAbsoluteURL(name) {
		return safeLink(name)
	}
	link := u.cfg.IssuerPath + "/" + strings.TrimPrefix(name, "/")
	if set, file, ok := u.assetFile(name); ok {
		if version := set.version(file); version != "" {
			link += "?" + versionParam + "=" + version
		}
	}
	return link
}

// srcset returns a link to an asset for the attribute srcset, where spaces and commas separate links; empty for none.
func (u *UI) srcset(name string) template.Srcset {
	if name == "" {
		return ""
	}
	link := strings.Join(strings.Fields(fmt.Sprint(u.asset(name))), "%20")
	if !imageData.MatchString(link) {
		link = strings.ReplaceAll(link, ",", "%2C")
	}
	return template.Srcset(link) //nolint:gosec // a picture is never run, wherever it is from
}
