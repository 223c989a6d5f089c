package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// renewPictures is the environment variable that has the pictures taken anew instead of compared.
const renewPictures = "DEX_RENEW_PICTURES"

// picturedPages are the pages that most people meet, as the preview has them.
var picturedPages = []string{
	"page/login.html/one-of-three-fails", "page/password.html/nothing-typed-yet", "page/password.html/wrong-password",
	"page/approval.html/everything", "page/device.html/no-code-yet", "page/device_confirm.html/question",
	"page/home.html/logged-in", "page/error.html/with-ways-on", "page/accounts.html/three-accounts",
	"page/password.html/with-passkeys", "page/totp_verify.html/setting-up", "page/webauthn_verify.html/registering",
	"page/factor_choice.html/logging-in", "page/recovery.html/wrong-code", "page/recovery_codes.html/ten-codes",
	"page/home.html/own-account", "page/own_confirm.html/removing-the-last-key", "page/own_password.html/wrong-password",
	"page/totp_verify.html/wrong-code", "page/webauthn_verify.html/logging-in",
	"page/logout.html/question-with-several-accounts", "page/logout.html/still-open", "page/logout_frames.html/two-applications",
}

// The pictures are of a phone's window and of a computer's.
var picturedWindows = [][2]int64{{narrow, 640}, {1024, 768}}

// plainFont has every machine draw the same letters: what system-ui is depends on what is installed.
const plainFont = `(() => {
	const sheet = new CSSStyleSheet();
	sheet.replaceSync('* { font-family: "DejaVu Sans" !important; caret-color: transparent !important }');
	document.adoptedStyleSheets = [sheet];
})()`

// TestPagesLookAsBefore compares the main pages with the pictures in the folder pictures. After an intended change, run it with
// DEX_RENEW_PICTURES=1 and look at each picture that git then shows as changed.
func TestPagesLookAsBefore(t *testing.T) {
	t.Parallel()
	g := openGallery(t, section{"languages": []string{"en"}}) // the choice is as wide as the longest language's name
	v := &view{tab: newBrowser(t)}
	call(v.tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"})
	for _, page := range picturedPages {
		v.tab.open(g.address + "/auto/en/" + page)
		v.see("h1")
		evaluate[chromedp.Void](v.tab, plainFont)
		for _, scheme := range []string{"light", "dark"} {
			v.media(map[string]string{"prefers-color-scheme": scheme})
			for _, size := range picturedWindows {
				v.window(size[0], size[1])
				name := strings.NewReplacer("page/", "", ".html/", "-").Replace(page)
				v.compare(fmt.Sprintf("%s-%s-%d.png", name, scheme, size[0]))
			}
		}
	}
}

// compare compares what the window shows with a picture, or replaces the picture.
func (v *view) compare(name string) {
	v.t.Helper()
	evaluate[chromedp.Void](v.tab, `scrollTo(0, 0)`) // the field that has the focus may be further down
	shot := result(v.tab, chromedp.CaptureScreenshot())
	now, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		v.t.Fatal(err)
	}
	file := filepath.Join("pictures", name)
	if os.Getenv(renewPictures) != "" {
		savePicture(v.t, file, now)
		return
	}
	old, err := os.Open(file)
	if err != nil {
		v.t.Errorf("%v: run this test with %s=1", err, renewPictures)
		return
	}
	defer old.Close() //nolint:errcheck // nothing was written
	before, err := png.Decode(old)
	if err != nil {
		v.t.Fatalf("%s: %v", file, err)
	}
	if share := difference(before, now); share > maxDifference {
		saved := filepath.Join(cmp.Or(os.Getenv(screenshots), os.TempDir()), name)
		savePicture(v.t, saved, now)
		v.t.Errorf("%.1f %% of the page look different from %s: see %s. If that is intended, run this test with %s=1",
			100*share, file, saved, renewPictures)
	}
}

func savePicture(t *testing.T, name string, picture image.Image) {
	t.Helper()
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, picture); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What may differ: versions of fonts and of the browser draw letters a little differently, and move lines by a few pixels.
const (
	cellSize      = 8     // pixels; pictures are compared in squares of this size, by their mean colour
	maxCellColour = 16    // of 255, by channel
	maxDifference = 0.004 // the share of squares that may be unlike those of the other picture at their place and around it
)

// difference returns the share of squares that differ between two pictures.
func difference(a, b image.Image) float64 {
	first, second := newCells(a), newCells(b)
	if first.width != second.width || first.height != second.height {
		return 1
	}
	return max(first.unlike(second), second.unlike(first))
}

// cells are the mean colours of a picture's squares.
type cells struct {
	width, height int
	colours       [][3]int
}

func newCells(picture image.Image) *cells {
	size := picture.Bounds().Size()
	pixels := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(pixels, pixels.Bounds(), picture, picture.Bounds().Min, draw.Src)
	c := &cells{width: size.X / cellSize, height: size.Y / cellSize}
	for y := range c.height {
		for x := range c.width {
			c.colours = append(c.colours, meanColour(pixels, x*cellSize, y*cellSize))
		}
	}
	return c
}

func meanColour(pixels *image.RGBA, left, top int) (mean [3]int) {
	for y := top; y < top+cellSize; y++ {
		for x := left; x < left+cellSize; x++ {
			p := pixels.RGBAAt(x, y)
			mean[0] += int(p.R)
			mean[1] += int(p.G)
			mean[2] += int(p.B)
		}
	}
	for i := range mean {
		mean[i] /= cellSize * cellSize
	}
	return mean
}

// unlike returns the share of squares that are lighter or darker than all that another picture has at their place and around it.
func (c *cells) unlike(other *cells) float64 {
	unlike := 0
	for y := range c.height {
		for x := range c.width {
			least, most := other.around(x, y)
			for i, v := range c.colours[y*c.width+x] {
				if v < least[i]-maxCellColour || v > most[i]+maxCellColour {
					unlike++
					break
				}
			}
		}
	}
	return float64(unlike) / float64(len(c.colours))
}

// around returns the range of colours of a square and those around it.
func (c *cells) around(x, y int) (least, most [3]int) {
	least, most = [3]int{255, 255, 255}, [3]int{}
	for row := max(y-1, 0); row <= min(y+1, c.height-1); row++ {
		for column := max(x-1, 0); column <= min(x+1, c.width-1); column++ {
			for i, v := range c.colours[row*c.width+column] {
				least[i], most[i] = min(least[i], v), max(most[i], v)
			}
		}
	}
	return least, most
}

// TestDifference shows what counts as different.
func TestDifference(t *testing.T) {
	page := func(button image.Rectangle, colour color.RGBA, text int) image.Image {
		picture := image.NewRGBA(image.Rect(0, 0, narrow, 640))
		draw.Draw(picture, picture.Bounds(), image.White, image.Point{}, draw.Src)
		draw.Draw(picture, button, image.NewUniform(colour), image.Point{}, draw.Src)
		for y := 100; y < 110; y++ { // strokes of letters
			for x := 20 + text; x < 200; x += 4 {
				picture.Set(x, y, color.Black)
			}
		}
		return picture
	}
	blue, grey := color.RGBA{47, 87, 207, 255}, color.RGBA{128, 128, 128, 255}
	was := page(image.Rect(20, 300, 300, 344), blue, 0)
	for name, test := range map[string]struct {
		now       image.Image
		different bool
	}{
		"the same":            {page(image.Rect(20, 300, 300, 344), blue, 0), false},
		"letters beside":      {page(image.Rect(20, 300, 300, 344), blue, 2), false},
		"a few pixels lower":  {page(image.Rect(20, 304, 300, 348), blue, 0), false},
		"another line higher": {page(image.Rect(20, 324, 300, 368), blue, 0), true},
		"another colour":      {page(image.Rect(20, 300, 300, 344), grey, 0), true},
		"no button":           {page(image.Rectangle{}, blue, 0), true},
		"half a button":       {page(image.Rect(20, 300, 160, 344), blue, 0), true},
		"another size":        {image.NewRGBA(image.Rect(0, 0, 100, 100)), true},
	} {
		if share := difference(was, test.now); (share > maxDifference) != test.different {
			t.Errorf("%s: %.4f, and different is to be %t", name, share, test.different)
		}
	}
}
