package postgres

import (
	"bytes"
	"math"
	"testing"
	"time"
)

func TestArray(t *testing.T) {
	for name, test := range map[string]struct {
		elements [][]byte
		want     string
	}{
		"empty": {nil, "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x11"},
		"a text, an empty one and NULL": {
			[][]byte{[]byte("ab"), {}, nil},
			"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x11\x00\x00\x00\x03\x00\x00\x00\x01" +
				"\x00\x00\x00\x02ab\x00\x00\x00\x00\xff\xff\xff\xff",
		},
	} {
		if got := array(typeBytea, test.elements); !bytes.Equal(got, []byte(test.want)) {
			t.Errorf("%s: got %x, want %x", name, got, test.want)
		}
	}
}

func TestIntegers(t *testing.T) {
	for _, n := range []int64{0, 1, -1, math.MinInt64, math.MaxInt64} {
		if got, err := integer(int8Of(n)); got != n || err != nil {
			t.Errorf("%d becomes %d, %v", n, got, err)
		}
	}
	for text, want := range map[string]int64{"\xff\xff": -1, "\x01\x00": 256, "\xff\xff\xff\xfe": -2} {
		if got, err := integer([]byte(text)); got != want || err != nil {
			t.Errorf("%x becomes %d, %v; want %d", text, got, err, want)
		}
	}
	if n, err := integer([]byte("abc")); err == nil {
		t.Errorf("three bytes are the number %d", n)
	}
}

// Statements with the same text have the same name on all connections, and others another.
func TestNamesOfStatements(t *testing.T) {
	names := map[string]string{}
	for _, w := range []write{createWrite, replaceWrite, deleteWrite, deleteRevisionWrite} {
		for _, s := range []*statement{w.plain, w.counted, w.announced} {
			if other, taken := names[s.name]; taken || s.name != newStatement(s.text).name || len(s.name) > 63 {
				t.Errorf("%q is named %s, as is %q", s.text, s.name, other)
			}
			names[s.name] = s.text
		}
	}
}

func TestMoment(t *testing.T) {
	for n, want := range map[int64]time.Time{
		0:             time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		1_500_000:     time.Date(2000, 1, 1, 0, 0, 1, 500_000_000, time.UTC),
		-1:            time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		math.MaxInt64: {}, // infinity
		math.MinInt64: {},
	} {
		if got, err := moment(int8Of(n)); !got.Equal(want) || err != nil {
			t.Errorf("%d is %v, %v; want %v", n, got, err, want)
		}
	}
}
