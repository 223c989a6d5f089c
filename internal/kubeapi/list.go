package kubeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// PageSize is how many objects are asked for at once.
const PageSize = 500

// A PageQuery selects objects.
type PageQuery struct {
	Labels       string // a selector; empty selects all
	From         string // what the page before said; empty for the first one
	Limit        int
	MetadataOnly bool // without the rest of the objects
}

// A PageEnd is what a list says besides its objects.
type PageEnd struct {
	Continue        string `json:"continue"` // empty after the last page
	ResourceVersion string `json:"resourceVersion"`
}

// Page calls each for the objects of a page, in the order of their names. They are read one by one: a page of large ones
// may not fit the memory.
func (c *Client) Page(ctx context.Context, in Collection, q PageQuery, each func(json.RawMessage) error) (PageEnd, error) {
	query := url.Values{"limit": {strconv.Itoa(q.Limit)}}
	if q.Labels != "" {
		query.Set("labelSelector", q.Labels)
	}
	if q.From != "" {
		query.Set("continue", q.From)
	}
	request := c.collection(in, query)
	if q.MetadataOnly {
		request.Accept = metadataOnlyList
	}
	var end PageEnd
	request.Decode = func(body io.Reader) error { return decodeList(body, &end, each) }
	err := c.Send(ctx, request)
	return end, err
}

// Pages calls each for all pages of objects that a label selector selects.
func (c *Client) Pages(ctx context.Context, in Collection, labels string, each func([]json.RawMessage) error) error {
	q := PageQuery{Labels: labels, Limit: PageSize}
	for {
		var page []json.RawMessage
		end, err := c.Page(ctx, in, q, func(object json.RawMessage) error {
			page = append(page, object)
			return nil
		})
		if from, ok := ExpiredPage(err); ok {
			q.From = from
			continue
		}
		if err != nil {
			return err
		}
		if err := each(page); err != nil {
			return err
		}
		if q.From = end.Continue; q.From == "" {
			return nil
		}
	}
}

// ExpiredPage returns where to go on when a continue token has become too old. What comes then is as of now, and no
// longer as of the first page.
func ExpiredPage(err error) (from string, ok bool) {
	e, ok := errors.AsType[*StatusError](err)
	if !ok || e.code != http.StatusGone || e.status.Metadata.Continue == "" {
		return "", false
	}
	return e.status.Metadata.Continue, true
}

// boundedReader ends with an error where one object is too large.
type boundedReader struct {
	r    io.Reader
	left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an object of more than %d bytes", maxObject)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// reset says that the next object begins.
func (b *boundedReader) reset() { b.left = maxObject }

func decodeList(body io.Reader, end *PageEnd, each func(json.RawMessage) error) error {
	bounded := &boundedReader{r: body, left: maxObject}
	d := json.NewDecoder(bounded)
	if err := expect(d, json.Delim('{')); err != nil {
		return err
	}
	for d.More() {
		member, err := d.Token()
		if err != nil {
			return err
		}
		switch member {
		case "metadata":
			err = d.Decode(end)
		case "items":
			err = decodeItems(d, bounded, each)
		default:
			var ignored json.RawMessage
			err = d.Decode(&ignored)
		}
		if err != nil {
			return err
		}
	}
	return expect(d, json.Delim('}'))
}

func decodeItems(d *json.Decoder, bounded *boundedReader, each func(json.RawMessage) error) error {
	first, err := d.Token()
	if err != nil || first == nil { // null for no objects
		return err
	}
	if first != json.Delim('[') {
		return fmt.Errorf("got %v in place of a list", first)
	}
	for d.More() {
		bounded.reset()
		var object json.RawMessage
		if err := d.Decode(&object); err != nil {
			return err
		}
		if err := each(object); err != nil {
			return err
		}
	}
	bounded.reset()
	return expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("got %v in place of %v", got, want)
	}
	return nil
}
