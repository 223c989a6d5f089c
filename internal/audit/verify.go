package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Verifier reads lines of an audit and tells where their chains are broken.
type Verifier struct {
	key    []byte
	report func(Break)

	streams map[string]*seen
	order   []string
	last    string // hash of the line before, of whatever stream
	first   string // what the first line of all names as the one before

	Lines  int
	Breaks int
	Lost   int // records that are missing by the streams' own account
}

// A Break is a place where the records are not what was written.
type Break struct {
	File string
	Line int
	What string
}

// String returns the break as FILE:LINE: WHAT.
func (b Break) String() string { return fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.What) }

// seen is what was read of a stream.
type seen struct {
	seq     uint64
	hash    string
	stopped bool
	file    string
	line    int
}

// NewVerifier returns a Verifier for chains that were made with a key, or without one if it is empty. It reports each break.
func NewVerifier(key []byte, report func(Break)) (*Verifier, error) {
	chained, err := chainKey(key)
	if err != nil {
		return nil, err
	}
	return &Verifier{key: chained, report: report, streams: map[string]*seen{}}, nil
}

// InOrder returns files in the order in which they were written: those that were rotated before the one whose name they begin with,
// the highest number or the earliest date first.
func InOrder(files []string) []string {
	sorted := slices.Clone(files)
	position := func(base string) int {
		return slices.IndexFunc(files, func(f string) bool { return rotationOf(f).base == base })
	}
	slices.SortStableFunc(sorted, func(a, b string) int {
		ofA, ofB := rotationOf(a), rotationOf(b)
		if ofA.base != ofB.base {
			return cmp.Compare(position(ofA.base), position(ofB.base))
		}
		return cmp.Or(cmp.Compare(ofB.number, ofA.number), strings.Compare(ofA.date, ofB.date))
	})
	return sorted
}

// A rotation is which of the files of one name a file is.
type rotation struct {
	base   string
	number int    // 0 for the file itself, and for one with a date
	date   string // afterDates for one without
}

const afterDates = "~"

func (r rotation) isDated() bool { return r.date != afterDates }

// dated is what logrotate adds to a name with dateext, as many systems have it.
var dated = regexp.MustCompile(`^(.+?)-([0-9]{8}[0-9-]*)$`)

func rotationOf(name string) rotation {
	name = strings.TrimSuffix(name, ".gz")
	if parts := dated.FindStringSubmatch(name); parts != nil {
		return rotation{base: parts[1], date: parts[2]}
	}
	if at := strings.LastIndexByte(name, '.'); at > 0 {
		if n, err := strconv.Atoi(name[at+1:]); err == nil {
			return rotation{name[:at], n, afterDates}
		}
	}
	return rotation{name, 0, afterDates}
}

// File reads a file, which may be compressed by gzip.
func (v *Verifier) File(name string) error {
	f, err := os.Open(name) //nolint:gosec // whoever runs the command names it
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return v.Read(name, r)
}

// Read reads lines; the name is for reports.
func (v *Verifier) Read(name string, r io.Reader) error {
	lines := bufio.NewReaderSize(r, maxLine)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			v.broken(name, number, "the line is longer than any record")
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
		case err == nil:
			v.line(name, number, text[:len(text)-1])
		case errors.Is(err, io.EOF) && len(text) > 0:
			v.broken(name, number, "the last line is incomplete: the process or the machine died while it was written, or somebody has cut it")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (v *Verifier) broken(file string, line int, what string, args ...any) {
	v.Breaks++
	v.report(Break{file, line, fmt.Sprintf(what, args...)})
}

// link is what places a line in its chain.
type link struct {
	Version int    `json:"v"`
	Seq     uint64 `json:"seq"`
	Stream  string `json:"stream"`
	Type    Type   `json:"type"`
	Prev    string `json:"prev"`
	Output  string `json:"output"`
	Count   int    `json:"count"`
}

// line looks at a line. A line that is broken is otherwise taken as it is, so that one change is one break.
func (v *Verifier) line(file string, number int, text []byte) {
	v.Lines++
	var l link
	if len(bytes.TrimSpace(text)) == 0 || json.Unmarshal(text, &l) != nil {
		what := "this is not a record of an audit"
		if beginsRecord(text) && !json.Valid(text) {
			what = "this is only the beginning of a record: the process or the machine died while it was written, or somebody has cut it"
		}
		v.broken(file, number, "%s", what)
		return
	}
	if l.Version != Version {
		v.broken(file, number, "the record is of version %d; this program knows version %d", l.Version, Version)
		return
	}
	rest, sum, ok := unhashed(text)
	if !ok {
		v.broken(file, number, "the record has no hash at its end")
		return
	}
	s := v.streams[l.Stream]
	genuine := hmac.Equal([]byte(digest(rest, v.key)), []byte(sum))
	if genuine && s != nil && s.hash == sum && s.seq == l.Seq {
		return // it was sent twice, as its receiver's answer got lost
	}
	var problems []string
	if !genuine {
		problems = append(problems, v.wrongHash())
	}
	problems = append(problems, v.place(s, l)...)
	if len(problems) > 0 {
		v.broken(file, number, "%s", strings.Join(problems, "; "))
	}
	v.note(s, l, sum, file, number)
}

func (v *Verifier) wrongHash() string {
	if len(v.key) > 0 {
		return "the hash doesn't fit the record: it was changed, or its chain was made with another key or with none"
	}
	return "the hash doesn't fit the record: it was changed, or its chain was made with a key"
}

// place returns what is wrong with the place of a record in its stream.
func (v *Verifier) place(s *seen, l link) []string {
	switch {
	case s == nil && v.Lines == 1:
		return nil // what was before is not here
	case s == nil && l.Seq != 1:
		return []string{fmt.Sprintf("the stream %s begins with record %d: those before are missing", l.Stream, l.Seq)}
	case s == nil && l.Prev == "" && l.Output != File:
		return nil // such outputs can't tell what they have from before
	case s == nil && l.Prev != v.last:
		return []string{"the first record of a process doesn't follow the record before it: records between them are missing or were added"}
	case s == nil:
		return nil
	case s.stopped:
		return []string{"the stream had ended"}
	case l.Seq <= s.seq:
		return []string{fmt.Sprintf("record %d comes after record %d", l.Seq, s.seq)}
	case l.Seq > s.seq+1:
		return []string{missing(l.Seq - s.seq - 1)}
	case l.Prev != s.hash:
		return []string{"the record doesn't follow the one before it"}
	}
	return nil
}

func missing(n uint64) string {
	if n == 1 {
		return "1 record is missing before this one"
	}
	return fmt.Sprintf("%d records are missing before this one", n)
}

// note remembers a line for the next one.
func (v *Verifier) note(s *seen, l link, sum, file string, number int) {
	if v.Lines == 1 {
		v.first = l.Prev
	}
	if s == nil {
		s = &seen{}
		v.streams[l.Stream] = s
		v.order = append(v.order, l.Stream)
	}
	s.seq, s.hash, s.file, s.line = l.Seq, sum, file, number
	s.stopped = s.stopped || l.Type == AuditStopped
	v.last = sum
	if l.Type == AuditLost {
		v.Lost += l.Count
	}
}

// Notes returns what there is to know besides the breaks.
func (v *Verifier) Notes() []string {
	var notes []string
	if v.first != "" {
		notes = append(notes, "the first record follows one with the hash "+v.first+", which is not here")
	}
	for i, name := range v.order {
		if s := v.streams[name]; !s.stopped {
			text := fmt.Sprintf("%s:%d: the stream %s has no end: its process was killed, or its last records are missing", s.file, s.line, name)
			if i == len(v.order)-1 {
				text = fmt.Sprintf("%s:%d: the stream %s has no end: its process still runs or was killed, or its last records are missing", s.file, s.line, name)
			}
			notes = append(notes, text)
		}
	}
	if v.Lost > 0 {
		notes = append(notes, fmt.Sprintf("the audit itself says that %d records were lost", v.Lost))
	}
	if v.last != "" {
		notes = append(notes, "the hash of the last record is "+v.last+"; kept elsewhere, it shows later whether records are missing at the end")
	}
	if len(v.key) == 0 {
		notes = append(notes, "without a key this proves only that nobody has changed records without making all later hashes anew")
	}
	return notes
}
