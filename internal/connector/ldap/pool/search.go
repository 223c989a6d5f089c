package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

const (
	// defaultPageSize is how many entries a page has. Active Directory's limit is 1000. Other servers set limits for single
	// accounts, and may refuse even this.
	defaultPageSize = 500
	// smallPageSize is tried if a larger one is refused.
	smallPageSize = 100
	// maxEntries bounds a result.
	maxEntries = 20000
	// sparePages is how many pages may be empty. Servers that check entries late do send empty ones, and some never stop.
	sparePages = 100
)

// Search does one search as the service account, with all pages of its result. If the server ends the search with an error,
// the entries found so far are returned with the *ldap.Error. A result of more than 20,000 entries is such an error too
// (sizeLimitExceeded).
func (p *Pool) Search(ctx context.Context, r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var result *ldap.SearchResult
	err := p.run(ctx, searcher, func(ctx context.Context, c *conn) (err error) {
		result, err = p.search(ctx, c, r)
		return elsewhere(err, searchFailures)
	})
	return result, err
}

func (p *Pool) search(ctx context.Context, c *conn, r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	request := *r
	if request.SizeLimit <= 0 || request.SizeLimit > maxEntries {
		request.SizeLimit = maxEntries
	}
	request.EnforceSizeLimit = true // for servers that ignore it
	if r.Scope == ldap.ScopeBaseObject || request.SizeLimit <= p.settings.PageSize {
		return c.search(ctx, &request)
	}
	known, err := p.pageSize(ctx, c)
	if err != nil {
		return nil, err
	}
	var refused *pagesRefused
	for size := known; size > 0; size = smaller(size) {
		result, err := c.searchPages(ctx, &request, size)
		if err == nil && size != known {
			p.learn(ctx, c.host, size, refused)
		}
		isRefused := false
		if refused, isRefused = errors.AsType[*pagesRefused](err); !isRefused {
			return result, err
		}
	}
	result, err := c.search(ctx, &request)
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		p.hosts.setPageSize(c.host, notAsked) // pages would have helped, and may be allowed by now
	case err == nil && refused != nil:
		p.learn(ctx, c.host, noPages, refused)
	}
	if err != nil && refused != nil {
		err = fmt.Errorf("%w (and page by page: %w)", err, refused)
	}
	return result, err
}

// smaller returns the page size to try after one was refused.
func smaller(size int) int {
	if size > smallPageSize {
		return smallPageSize
	}
	return noPages
}

// learn notes what page size a server accepts.
func (p *Pool) learn(ctx context.Context, h *host, size int, refused error) {
	p.settings.Log.InfoContext(ctx, "LDAP server refuses pages of the usual size", "host", h.address, "pageSize", size, "err", refused)
	p.hosts.setPageSize(h, size)
}

// pageSize returns the page size to ask the server of a connection for, or noPages.
func (p *Pool) pageSize(ctx context.Context, c *conn) (int, error) {
	if p.settings.PageSize < 0 {
		return noPages, nil
	}
	if known := p.hosts.pageSize(c.host); known != notAsked {
		return known, nil
	}
	controls, err := c.rootDSE(ctx)
	if outage := outageOf(err); outage != nil {
		return 0, outage
	}
	// A server that hides its root DSE is assumed not to support pages.
	size := noPages
	if slices.Contains(controls, ldap.ControlTypePaging) {
		size = p.settings.PageSize
	}
	p.hosts.setPageSize(c.host, size)
	return size, nil
}

// rootDSE returns the controls that a server supports.
func (c *conn) rootDSE(ctx context.Context) ([]string, error) {
	const attribute = "supportedControl"
	result, err := c.search(ctx, ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(objectClass=*)", []string{attribute}, nil))
	if err != nil {
		return nil, err
	}
	var controls []string
	for _, entry := range result.Entries {
		controls = append(controls, entry.GetEqualFoldAttributeValues(attribute)...)
	}
	return controls, nil
}

// search does one search, which is one page of a larger one or all of it.
func (c *conn) search(ctx context.Context, r *ldap.SearchRequest) (result *ldap.SearchResult, err error) {
	err = c.operate(ctx, func() (err error) {
		result, err = c.ldap.Search(r)
		return err
	})
	if errors.Is(err, ldap.ErrSizeLimitExceeded) { // from the library, with the code of a network failure
		c.spent = true // there is more to come
		err = tooMany(r.SizeLimit)
	}
	return result, err
}

// searchPages does one search and collects its pages. The size limit is for all of them together. A *pagesRefused means that
// the server may do it without pages, or with smaller ones.
func (c *conn) searchPages(ctx context.Context, r *ldap.SearchRequest, size int) (*ldap.SearchResult, error) {
	page := ldap.NewControlPaging(uint32(size)) //nolint:gosec // G115: at most maxEntries
	request := *r
	// Servers apply the limit to all pages together or to each one: the sum is checked here, so one more must be possible.
	request.SizeLimit = 0
	request.Controls = append(slices.Clone(r.Controls), page)
	all := &ldap.SearchResult{}
	for pages := 1; ; pages++ {
		result, err := c.search(ctx, &request)
		if result != nil {
			all.Entries = append(all.Entries, result.Entries...)
			all.Referrals = append(all.Referrals, result.Referrals...)
		}
		if err != nil {
			if pages == 1 && mayBlamePages(err) {
				err = &pagesRefused{err}
			}
			return all, err
		}
		if len(all.Entries) > r.SizeLimit {
			c.spent = true // the search is still open there
			all.Entries = all.Entries[:r.SizeLimit]
			return all, tooMany(r.SizeLimit)
		}
		next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return all, nil
		}
		if pages == maxEntries/size+sparePages {
			c.spent = true
			return all, ldap.NewError(ldap.LDAPResultLoopDetect,
				fmt.Errorf("the server has sent %d pages with %d entries, and claims that there are more", pages, len(all.Entries)))
		}
		page.SetCookie(next.Cookie)
	}
}

// pagesRefused is the answer to a paged search that may work without pages.
type pagesRefused struct{ err error }

func (r *pagesRefused) Error() string { return r.err.Error() }
func (r *pagesRefused) Unwrap() error { return r.err }

// mayBlamePages reports whether a server may have refused a search only because of the control. There is no code for that:
// servers have been seen to use 1, 11, 12 and 53. The codes listed here have other causes.
func mayBlamePages(err error) bool {
	return outageOf(err) == nil && !ldap.IsErrorAnyOf(err,
		ldap.LDAPResultNoSuchObject, ldap.LDAPResultReferral, ldap.LDAPResultInvalidDNSyntax,
		ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultTimeLimitExceeded, ldap.ErrorFilterCompile)
}

func tooMany(limit int) error {
	return ldap.NewError(ldap.LDAPResultSizeLimitExceeded, fmt.Errorf("the result has more than %d entries", limit))
}
