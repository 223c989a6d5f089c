package connectortest

import (
	"fmt"
	"net/http"
	"strings"
)

// Page returns a part of a list, by the parameters page and per_page (or limit), and sets the header Link as GitHub, GitLab and
// Gitea do. The first page is 1.
func Page[T any](h *Hosted, w http.ResponseWriter, r *http.Request, all []T, size int) []T {
	query := r.URL.Query()
	number := func(name string, otherwise int) int {
		var n int
		if _, err := fmt.Sscan(query.Get(name), &n); err != nil || n < 1 {
			return otherwise
		}
		return n
	}
	size = number("per_page", number("limit", size))
	page, last := number("page", 1), max((len(all)+size-1)/size, 1)
	var links []string
	link := func(to int, rel string) {
		query.Set("page", fmt.Sprint(to))
		links = append(links, fmt.Sprintf("<%s%s?%s>; rel=%q", h.URL, r.URL.Path, query.Encode(), rel))
	}
	if page > 1 {
		link(page-1, "prev")
	}
	if page < last {
		link(page+1, "next")
		link(last, "last")
	}
	if page > 1 {
		link(1, "first")
	}
	if len(links) > 0 {
		w.Header().Set("Link", strings.Join(links, ", "))
	}
	from := min((page-1)*size, len(all))
	return append([]T{}, all[from:min(from+size, len(all))]...) // an empty list is no null
}

// numbered returns names that end in numbers.
func numbered(name string, count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", name, i)
	}
	return names
}
