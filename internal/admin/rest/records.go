package rest

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"dex/internal/admin"
)

const (
	// usualPage is how many records a page has if the caller doesn't say, and maxPage how many it may have.
	usualPage = 100
	maxPage   = 1000
)

// records are clients, users or connectors.
type records[T any] interface {
	List(ctx context.Context, after string, limit int) ([]admin.Record[T], string, error)
	Get(ctx context.Context, id string) (admin.Record[T], error)
	Create(ctx context.Context, v T) (admin.Record[T], error)
	Put(ctx context.Context, v T, revision string) (record admin.Record[T], created bool, err error)
	Delete(ctx context.Context, id, revision string) error
}

// A collection is records as the API has them: T is a record, and B its body.
type collection[T, B any] struct {
	one, many, id string // client, clients; the name of the member that is the id
	methods       methods
	of            func(*admin.Service) records[T]
	idOf          func(*T) string
	same          func(a, b string) bool // as ids
	read          func(c *call, id string) (T, error)
	show          func(admin.Record[T]) B
}

type methods struct{ list, get, create, update, destroy admin.Method }

// page is what a list returns.
type page[B any] struct {
	Items         []B    `key:"items" required:"true"`
	NextPageToken string `key:"nextPageToken" required:"true"`
}

// meta is what each body has besides the members of the configuration file.
type meta struct {
	Origin   string `key:"origin" readOnly:"true"`
	Revision string `key:"revision" readOnly:"true"`
}

func metaOf[T any](r admin.Record[T]) meta { return meta{string(r.Origin), r.Revision} }

// routes returns the routes that all collections have.
func (s collection[T, B]) routes() []route {
	body, item := reflect.TypeFor[B](), "/"+s.many+"/{"+s.id+"}"
	name := strings.ToUpper(s.one[:1]) + s.one[1:]
	return []route{
		{
			id: "list" + name + "s", method: http.MethodGet, path: "/" + s.many, needs: s.methods.list, tag: s.many,
			summary: "List " + s.many + " by pages, without their secrets",
			query:   paging, serve: s.list,
			answers: []outcome{{http.StatusOK, aboutPage, reflect.TypeFor[page[B]]()}},
		},
		{
			id: "create" + name, method: http.MethodPost, path: "/" + s.many, needs: s.methods.create, tag: s.many,
			summary: "Create a " + s.one, body: body, etag: true, serve: s.create,
			answers: []outcome{{http.StatusCreated, "The new " + s.one, body}},
		},
		{
			id: "get" + name, method: http.MethodGet, path: item, needs: s.methods.get, tag: s.many,
			summary: "Read a " + s.one + ", without its secrets", etag: true, serve: s.get,
			answers: []outcome{{http.StatusOK, "The " + s.one, body}, {http.StatusNotModified, "It still has the revision of If-None-Match", nil}},
		},
		{
			id: "put" + name, method: http.MethodPut, path: item, needs: s.methods.update, tag: s.many,
			summary: "Create a " + s.one + ", or replace it. Secrets that are left out stay as they are",
			body:    body, etag: true, matches: true, create: true, serve: s.put,
			answers: []outcome{{http.StatusOK, "The " + s.one, body}, {http.StatusCreated, "The new " + s.one, body}},
		},
		{
			id: "delete" + name, method: http.MethodDelete, path: item, needs: s.methods.destroy, tag: s.many,
			summary: "Delete a " + s.one, matches: true, serve: s.delete,
			answers: []outcome{{http.StatusNoContent, "It is gone", nil}},
		},
	}
}

func (s collection[T, B]) list(c *call) error {
	return listPage(c, func(after string, size int) ([]admin.Record[T], string, error) {
		return s.of(c.service()).List(c.Context(), after, size)
	}, s.show)
}

// paging is what the query of every list that has pages may have.
var paging = []parameter{
	{name: "pageSize", about: "how many a page has at most, up to 1000", number: true},
	{name: "pageToken", about: "the `nextPageToken` of the page before"},
}

const aboutPage = "A page. It may have fewer items than asked for, even none, and not be the last one."

// listPage answers with a page of a list.
func listPage[T, B any](c *call, list func(after string, size int) ([]T, string, error), show func(T) B) error {
	size := usualPage
	if text := c.param("pageSize"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil || size < 1 || size > maxPage {
			return malformed("pageSize must be a number from 1 to " + strconv.Itoa(maxPage))
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(c.param("pageToken"))
	if err != nil {
		return malformed("pageToken must be the nextPageToken of the page before")
	}
	found, next, err := list(string(after), size)
	if err != nil {
		return err
	}
	p := page[B]{Items: make([]B, 0, len(found)), NextPageToken: base64.RawURLEncoding.EncodeToString([]byte(next))}
	for _, r := range found {
		p.Items = append(p.Items, show(r))
	}
	return c.answer(http.StatusOK, p)
}

func (s collection[T, B]) get(c *call) error {
	r, err := s.of(c.service()).Get(c.Context(), c.params[s.id])
	if err != nil {
		return err
	}
	c.setETag(r.Revision)
	if r.Revision != "" && parseTags(c.Header.Values("If-None-Match")).has(r.Revision, false) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.answer(http.StatusOK, s.show(r))
}

func (s collection[T, B]) create(c *call) error {
	v, err := s.read(c, "")
	if err != nil {
		return err
	}
	r, err := s.of(c.service()).Create(c.Context(), v)
	if err != nil {
		return err
	}
	return s.created(c, r)
}

func (s collection[T, B]) created(c *call, r admin.Record[T]) error {
	if !c.dryRun {
		c.setETag(r.Revision)
	}
	c.w.Header().Set("Location", Base+"/"+s.many+"/"+url.PathEscape(s.idOf(&r.Value)))
	return c.answer(http.StatusCreated, s.show(r))
}

func (s collection[T, B]) put(c *call) error {
	id := c.params[s.id]
	v, err := s.read(c, id)
	if err != nil {
		return err
	}
	if !s.same(s.idOf(&v), id) {
		return &admin.Error{
			Reason: admin.Invalid, Message: s.id + ": is not the one of the path; leave it out, or make it the same",
			Members: []admin.Member{{Name: s.id, Message: "is not the one of the path"}},
		}
	}
	if parseTags(c.Header.Values("If-None-Match")).any {
		r, err := s.of(c.service()).Create(c.Context(), v)
		if err != nil && admin.ReasonOf(err) == admin.Exists {
			return &statusError{http.StatusPreconditionFailed, "exists", err.Error()}
		}
		if err != nil {
			return err
		}
		return s.created(c, r)
	}
	revision, err := s.expected(c, id)
	if err != nil {
		return err
	}
	r, created, err := s.of(c.service()).Put(c.Context(), v, revision)
	switch {
	case err != nil:
		return absent(err, revision)
	case created:
		return s.created(c, r)
	}
	c.setETag(r.Revision)
	return c.answer(http.StatusOK, s.show(r))
}

func (s collection[T, B]) delete(c *call) error {
	id := c.params[s.id]
	revision, err := s.expected(c, id)
	if err != nil {
		return err
	}
	if err := s.of(c.service()).Delete(c.Context(), id, revision); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// expected returns the revision that a record must have for a change, by If-Match; empty for any.
func (s collection[T, B]) expected(c *call, id string) (string, error) {
	return expected(c, func() (string, error) {
		r, err := s.of(c.service()).Get(c.Context(), id)
		return r.Revision, err
	})
}

func expected(c *call, current func() (string, error)) (string, error) {
	header := c.Header.Values("If-Match")
	if len(header) == 0 {
		return "", nil
	}
	tags := parseTags(header)
	if len(tags.strong) == 1 && !tags.any && tags.strong[0] != "" { // an empty one would be any
		return tags.strong[0], nil
	}
	revision, err := current()
	if err != nil {
		return "", absent(err, "any")
	}
	if !tags.has(revision, true) || revision == "" {
		return "", admin.Errorf(admin.Conflict, "If-Match names another revision; read it again, and repeat the change")
	}
	return revision, nil
}

// absent returns the error of a change of a record that must be there: that it isn't is a precondition that failed.
func absent(err error, revision string) error {
	if revision != "" && admin.ReasonOf(err) == admin.NotFound {
		return &statusError{http.StatusPreconditionFailed, "changed", err.Error() + ", and If-Match says that it does"}
	}
	return err
}

func (c *call) setETag(revision string) {
	if revision != "" {
		c.w.Header().Set("ETag", `"`+revision+`"`)
	}
}

// tags are those of If-Match or If-None-Match (RFC 9110, section 13.1).
type tags struct {
	any          bool
	strong, weak []string
}

func parseTags(lines []string) tags {
	var t tags
	for _, line := range lines {
		for field := range strings.SplitSeq(line, ",") {
			field = strings.TrimSpace(field)
			weak, isWeak := strings.CutPrefix(field, "W/")
			switch {
			case field == "*":
				t.any = true
			case isWeak:
				t.weak = append(t.weak, strings.Trim(weak, `"`))
			case field != "":
				t.strong = append(t.strong, strings.Trim(field, `"`))
			}
		}
	}
	return t
}

// has reports whether a revision is among the tags. Strongly compared, weak ones never match.
func (t tags) has(revision string, strongly bool) bool {
	all := t.strong
	if !strongly {
		all = append(all, t.weak...)
	}
	for _, tag := range all {
		if tag == revision {
			return true
		}
	}
	return t.any
}
