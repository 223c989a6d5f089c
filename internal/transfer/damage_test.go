package transfer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/sealed"
	"dex/internal/transfer"
)

func wantNothingWritten(t *testing.T, what string, file []byte, o transfer.Options) error {
	t.Helper()
	target := newMemory(t)
	_, err := importInto(t, target, file, o)
	if err == nil {
		t.Errorf("%s: no error", what)
	}
	if got := content(t, target); len(got) > 0 {
		t.Errorf("%s: %.200q was written", what, got)
	}
	return err
}

func small(t *testing.T) []byte {
	t.Helper()
	s := newMemory(t)
	put(t, s, record("keys", "a", `{"n":1}`), record("client", "a", `{"n":1}`), record("client", "b", `{"n":2}`),
		record("refresh", "\xff", "\xff"))
	return export(t, s, nil)
}

func TestDamagedFilesAreRefusedBeforeAWrite(t *testing.T) {
	file := small(t)
	lines := slices.Collect(bytes.Lines(file))
	if len(lines) != 6 {
		t.Fatalf("the file has %d lines, want 6", len(lines))
	}
	join := func(lines ...[]byte) []byte { return bytes.Join(lines, nil) }
	for what, damaged := range map[string][]byte{
		"reordered":            join(lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]),
		"duplicated line":      join(lines[0], lines[1], lines[1], lines[2], lines[3], lines[4], lines[5]),
		"line removed":         join(lines[0], lines[1], lines[3], lines[4], lines[5]),
		"no end":               join(lines[:5]...),
		"header and end":       join(lines[0], lines[5]),
		"header only":          lines[0],
		"something after":      append(bytes.Clone(file), lines[1]...),
		"newline after":        append(bytes.Clone(file), '\n'),
		"twice":                append(bytes.Clone(file), file...),
		"Windows line ends":    bytes.ReplaceAll(file, []byte("\n"), []byte("\r\n")),
		"a space more":         bytes.Replace(file, []byte(`"key":"a"`), []byte(`"key": "a"`), 1),
		"no newline after end": file[:len(file)-1],
		"overly long line":     join(lines[0], []byte(`{"kind":"client","key":"`+strings.Repeat("x", 3<<20)+"\"}\n"), lines[5]),
		"end counts more":      bytes.Replace(file, []byte(`"client":2`), []byte(`"client":3`), 1),
	} {
		if err := wantNothingWritten(t, what, damaged, transfer.Options{}); !errors.Is(err, transfer.ErrDamaged) {
			t.Errorf("%s: got error %v", what, err)
		}
	}
	for what, other := range map[string][]byte{
		"empty":         nil,
		"something":     []byte("something\n"),
		"other JSON":    []byte("{\"format\":\"other\"}\n"),
		"newer version": bytes.Replace(file, []byte(`"version":1`), []byte(`"version":2`), 1),
	} {
		_ = wantNothingWritten(t, what, other, transfer.Options{})
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	file := small(t)
	for n := range file {
		_ = wantNothingWritten(t, fmt.Sprintf("first %d of %d bytes", n, len(file)), file[:n], transfer.Options{})
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	for _, keys := range []*sealed.Keys{nil, storageKeys(t, "k")} {
		s := newMemory(t)
		put(t, s, record("keys", "a", `{"n":1}`), store.Record{Kind: "client", Key: "\xff", Owner: "o"})
		file, o := export(t, s, keys), transfer.Options{}
		if keys != nil {
			o.Keys = *keys
		}
		if _, err := importInto(t, newMemory(t), file, o); err != nil {
			t.Fatalf("Import: %v", err)
		}
		for i := range file {
			for bit := range 8 {
				damaged := bytes.Clone(file)
				damaged[i] ^= 1 << bit
				// A letter in the other case is the same to JSON in the names of members, and the sum is over other lines.
				if bytes.EqualFold(damaged, file) && i > bytes.LastIndexByte(file[:len(file)-1], '\n') {
					continue
				}
				_ = wantNothingWritten(t, fmt.Sprintf("bit %d of byte %d", bit, i), damaged, o)
			}
		}
	}
}

// forge gives lines the sum that they should have.
func forge(lines ...string) []byte {
	body := strings.Join(lines, "\n") + "\n"
	counts := map[string]int{}
	for _, l := range lines[1:] {
		_, rest, _ := strings.Cut(l, `"kind":"`)
		kind, _, _ := strings.Cut(rest, `"`)
		counts[kind]++
	}
	var list []string
	for kind, n := range counts {
		list = append(list, fmt.Sprintf("%q:%d", kind, n))
	}
	sum := sha256.Sum256([]byte(body))
	return []byte(body + `{"end":{"counts":{` + strings.Join(list, ",") + `},"sha256":"` + hex.EncodeToString(sum[:]) + "\"}}\n")
}

const clearHeader = `{"format":"dex-export","version":1,"created":"2030-01-01T00:00:00Z","sealed":false}`

func TestForgedFiles(t *testing.T) {
	if _, err := importInto(t, newMemory(t), forge(clearHeader, `{"kind":"client","key":"a","data":{}}`), transfer.Options{}); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	long := strings.Repeat("k", store.MaxKey+1)
	for what, l := range map[string]string{
		"unknown kind": `{"kind":"lease","key":"a","data":{}}`,
		"no kind":      `{"kind":"","key":"a","data":{}}`,
		"no key":       `{"kind":"client","data":{}}`,
		"long key":     `{"kind":"client","key":"` + long + `","data":{}}`,
		"large":        `{"kind":"client","key":"a","data":"` + strings.Repeat("x", store.MaxData) + `"}`,
	} {
		good := `{"kind":"client","key":"good","data":{}}`
		_ = wantNothingWritten(t, what, forge(clearHeader, good, l), transfer.Options{})
	}
}

func TestNothingCanBeAddedToASealedFileWithoutTheKey(t *testing.T) {
	s, keys := newMemory(t), storageKeys(t, "k")
	put(t, s, record("client", "a", `{"n":1}`), record("client", "b", `{"n":2}`))
	lines := strings.Split(string(export(t, s, keys)), "\n")[:3]
	for what, added := range map[string]string{
		"in clear":            `{"kind":"client","key":"c","data":{}}`,
		"empty":               `{"kind":"client","key":"c"}`,
		"under another key":   strings.Replace(lines[1], `"key":"a"`, `"key":"c"`, 1),
		"of another kind":     strings.Replace(lines[1], `"client"`, `"keys"`, 1),
		"with clear data too": strings.Replace(lines[1], `"key":"a"`, `"key":"a","data":{}`, 1),
	} {
		_ = wantNothingWritten(t, what, forge(append(slices.Clone(lines), added)...), transfer.Options{Keys: *keys})
	}
}

// FuzzImport gives Import files that anybody may have made: it answers with an error or imports what is in them.
func FuzzImport(f *testing.F) {
	f.Add([]byte(clearHeader + "\n" + `{"kind":"client","key":"a","data":{}}`))
	f.Add([]byte(clearHeader + "\n" + `{"kind":"client","key64":"/w==","data64":"/w==","expires":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(clearHeader + "\n" + `{"kind":"client","key":"a","sealed":"12345678.AAAA"}`))
	f.Add([]byte(clearHeader + "\n" + `{"end":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		target := newMemory(t)
		for _, file := range [][]byte{body, forge(strings.Split(string(body), "\n")...)} {
			counts, err := importInto(t, target, file, transfer.Options{})
			if n := len(content(t, target)); err == nil && counts.Created > 0 && n == 0 {
				t.Errorf("created %d records, and there is none", counts.Created)
			} else if err != nil && counts.Created == 0 && n > 0 {
				t.Errorf("%v, and %d records were written", err, n)
			}
		}
	})
}
