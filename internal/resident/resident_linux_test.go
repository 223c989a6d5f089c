package resident

import (
	"slices"
	"strings"
	"testing"
)

func TestReadOnly(t *testing.T) {
	const maps = `00400000-01108000 r-xp 00000000 fe:00 10111302                           /opt/a b/dex
01108000-01f78000 r--p 00d08000 fe:00 10111302                           /opt/a b/dex
01f78000-0203a000 rw-p 01b78000 fe:00 10111302                           /opt/a b/dex
02040000-02050000 r--p 00000000 fe:00 10111303                           /usr/lib/other/dex
6d24e400000-6d24ec00000 rw-p 00000000 00:00 0
7fff0000-7fff1000 r-xp 00000000 00:00 0                                  [vdso]
nonsense
`
	want := []region{{0x400000, 0x1108000}, {0x1108000, 0x1f78000}}
	if got := readOnly(strings.NewReader(maps), "/opt/a b/dex"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// The program goes on as before, with its constants and its code.
func TestRelease(t *testing.T) {
	for range 3 {
		if err := Release(); err != nil {
			t.Fatal(err)
		}
	}
	TestReadOnly(t)
}
