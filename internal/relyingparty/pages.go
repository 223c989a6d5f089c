package relyingparty

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"dex/internal/connector"
	"dex/internal/outbound"
)

// maxPages bounds a list.
const maxPages = 200

// Pages reads a list page by page: read returns the address of the next page, which may be relative, or nothing after the last.
// The access token is sent only to the host of the first page. The error may be a *connector.Unusable: the list is too long.
func (c *Calls) Pages(ctx context.Context, first string, read func(*outbound.Answer) (next string, err error)) error {
	return follow(ctx, first, c.Get, read)
}

// PostPages is Pages for a list that is asked for by a JSON document, which is sent for each page.
func (c *Calls) PostPages(
	ctx context.Context, first string, document any, read func(*outbound.Answer) (next string, err error),
) error {
	content, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return follow(ctx, first, func(ctx context.Context, page string) (*outbound.Answer, error) {
		return c.wanted(c.Do(ctx, http.MethodPost, page, content))
	}, read)
}

// follow reads a list from its first page to its last.
func follow(
	ctx context.Context, first string, ask func(context.Context, string) (*outbound.Answer, error),
	read func(*outbound.Answer) (next string, err error),
) error {
	page, seen := first, map[string]bool{}
	for range maxPages {
		seen[page] = true
		answer, err := ask(ctx, page)
		if err != nil {
			return err
		}
		next, err := read(answer)
		if err != nil || next == "" {
			return err
		}
		if page, err = sameHost(page, next); err != nil {
			return fmt.Errorf("next page: %w", err)
		}
		if seen[page] {
			return errors.New("next page: the list leads back to a page that was read already")
		}
	}
	return &connector.Unusable{
		Reason: "There is too much about your account to read here.",
		Cause:  fmt.Errorf("%s has more than %d pages", withoutQuery(first), maxPages),
	}
}

// List reads a list whose pages are JSON arrays, and whose header Link leads on.
func List[T any](ctx context.Context, c *Calls, first string) ([]T, error) {
	var all []T
	err := c.Pages(ctx, first, func(answer *outbound.Answer) (string, error) {
		var page []T
		if err := DecodeAnswer(answer, &page); err != nil {
			return "", err
		}
		all = append(all, page...)
		return NextLink(answer), nil
	})
	return all, err
}

// sameHost resolves an address that a provider names in an answer. It must not lead to another host, nor to another scheme. The
// host is spelled as before, as the provider may write it in lower case or with the usual port.
func sameHost(from, to string) (string, error) {
	base, err := url.Parse(from)
	if err != nil {
		return "", err
	}
	target, err := base.Parse(to)
	if err != nil {
		return "", err
	}
	if target.Scheme != base.Scheme || !strings.EqualFold(target.Hostname(), base.Hostname()) || port(target) != port(base) {
		return "", fmt.Errorf("it is at %s://%s, not at %s://%s", target.Scheme, target.Host, base.Scheme, base.Host)
	}
	target.Host, target.User = base.Host, base.User
	return target.String(), nil
}

// port returns the port of an address, which need not name the usual one.
func port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

func withoutQuery(address string) string {
	path, _, _ := strings.Cut(address, "?")
	return path
}

// NextLink returns the address of the page after an answer's, as its header Link says (RFC 8288); empty for none.
func NextLink(answer *outbound.Answer) string {
	for _, line := range answer.Header.Values("Link") {
		for line != "" {
			_, rest, found := strings.Cut(line, "<")
			if !found {
				break
			}
			target, rest, _ := strings.Cut(rest, ">")
			params, more, _ := strings.Cut(rest, "<") // which no parameter here has
			if isNext(params) {
				return target
			}
			line = "<" + more
			if more == "" {
				break
			}
		}
	}
	return ""
}

// isNext reports whether the parameters of a link have next among its relations.
func isNext(params string) bool {
	for param := range strings.FieldsFuncSeq(params, func(r rune) bool { return r == ';' || r == ',' }) {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for relation := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(relation, "next") {
				return true
			}
		}
	}
	return false
}
