package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

const (
	// pageSize is how many entries a page has, which is less than the limit of any server: Active Directory's is 1000.
	pageSize = 500
	// maxEntries bounds a result.
	maxEntries = 20000
)

// Search does one search as the service account, with all pages of its result. Where the server ends a search with an error,
// what it found until then comes with the *ldap.Error. A result of more than 20,000 entries is such an error too
// (sizeLimitExceeded).
func (p *Pool) Search(ctx context.Context, r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var result *ldap.SearchResult
	err := p.run(ctx, searcher, func(ctx context.Context, c *conn) (err error) {
		result, err = p.search(ctx, c, r)
		return err
	})
	return result, err
}

func (p *Pool) search(ctx context.Context, c *conn, r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	request := *r
	if request.SizeLimit <= 0 || request.SizeLimit > maxEntries {
		request.SizeLimit = maxEntries
	}
	request.EnforceSizeLimit = true // for servers that do not heed it
	if r.Scope == ldap.ScopeBaseObject || request.SizeLimit <= pageSize {
		return c.search(ctx, &request)
	}
	pages, err := p.pages(ctx, c)
	if err != nil {
		return nil, err
	}
	if !pages {
		return c.search(ctx, &request)
	}
	return c.searchPages(ctx, &request)
}

// pages reports whether the server of a connection splits results into pages.
func (p *Pool) pages(ctx context.Context, c *conn) (bool, error) {
	if known := p.hosts.paging(c.host); known != notAsked {
		return known == supported, nil
	}
	controls, err := c.rootDSE(ctx)
	if outage := outageOf(err); outage != nil {
		return false, outage
	}
	// A server that hides its root DSE is taken for one without pages.
	answer := unsupported
	if slices.Contains(controls, ldap.ControlTypePaging) {
		answer = supported
	}
	p.hosts.setPaging(c.host, answer)
	return answer == supported, nil
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
	if errors.Is(err, ldap.ErrSizeLimitExceeded) { // the library's, with a code as if the network had failed
		c.spent = true // there is more to come
		err = tooMany(r.SizeLimit)
	}
	return result, err
}

// searchPages does one search and collects its pages. The size limit goes for all of them together.
func (c *conn) searchPages(ctx context.Context, r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	page := ldap.NewControlPaging(pageSize)
	request := *r
	// The server counts the entries of all pages, or of each: the sum is checked here, so one more must be possible.
	request.SizeLimit = 0
	request.Controls = append(slices.Clone(r.Controls), page)
	all := &ldap.SearchResult{}
	for {
		result, err := c.search(ctx, &request)
		if result != nil {
			all.Entries = append(all.Entries, result.Entries...)
			all.Referrals = append(all.Referrals, result.Referrals...)
		}
		if err != nil {
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
		page.SetCookie(next.Cookie)
	}
}

func tooMany(limit int) error {
	return ldap.NewError(ldap.LDAPResultSizeLimitExceeded, fmt.Errorf("the result has more than %d entries", limit))
}
