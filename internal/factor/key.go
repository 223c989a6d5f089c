package factor

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"strconv"
	"strings"

	"rsc.io/qr/coding"
)

const (
	quietZone = 4   // modules around a QR code, ISO 18004
	pngSize   = 300 // pixels, as upstream's templates expect
)

// A Key is what an app has to know to make codes.
type Key struct {
	URI     string
	Secret  string // in groups, for typing
	Account string
	Issuer  string
	SVG     template.HTML
	PNG     []byte
}

// TOTPKey returns a secret for the user's app, in all forms that apps take.
func (f *Factors) TOTPKey(u User, authenticatorID, secret string) Key {
	k := Key{Secret: grouped(secret), Issuer: f.totp[authenticatorID].Issuer, Account: accountOf(u)}
	// The label is as upstream's, so that an app replaces what it has of the account.
	label := strings.ReplaceAll(k.Issuer, ":", " ") + ":" + strings.ReplaceAll(k.Account, ":", " ")
	values := url.Values{
		"algorithm": {"SHA1"}, "digits": {strconv.Itoa(totpDigits)}, "issuer": {k.Issuer}, "period": {strconv.Itoa(totpPeriod)},
		"secret": {secret},
	}
	query := strings.ReplaceAll(values.Encode(), "+", "%20") // some apps show the plus sign
	k.URI = (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + label, RawQuery: query}).String()
	code, err := newQRCode(k.URI)
	if err != nil {
		f.log.Error("no QR code, the secret has to be typed", "authenticator", authenticatorID, "err", err) // its text is too long
		return k
	}
	k.SVG, k.PNG = drawing(code), picture(code)
	return k
}

// accountOf returns what an app calls the user's account, short enough for a QR code that phones can read.
func accountOf(u User) string {
	const longest = 100
	name := []rune(cmp.Or(u.Name, u.UserID))
	if len(name) > longest {
		name = name[:longest]
	}
	return "(" + u.ConnectorID + ") " + string(name)
}

// drawing returns a QR code for a page whose security policy allows no styles. It is black on white in dark mode too: some apps read no
// other. Programs that read pages aloud have the secret beside it.
func drawing(code *coding.Code) template.HTML {
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, run, run)
				x += run
			}
		}
	}
	size := code.Size + 2*quietZone
	return template.HTML(fmt.Sprintf( //nolint:gosec // numbers only
		`<svg xmlns="http://www.w3.org/2000/svg" class="qr" viewBox="0 0 %d %d" width="240" height="240" shape-rendering="crispEdges" `+
			`aria-hidden="true" focusable="false"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		size, size, size, size, path.String()))
}

// picture returns a QR code as a PNG.
func picture(code *coding.Code) []byte {
	scale := max(1, pngSize/(code.Size+2*quietZone))
	size := max(pngSize, scale*(code.Size+2*quietZone))
	margin := (size - scale*code.Size) / 2
	img := image.NewPaletted(image.Rect(0, 0, size, size), color.Palette{color.White, color.Black})
	for y := range scale * code.Size {
		for x := range scale * code.Size {
			if code.Black(x/scale, y/scale) {
				img.SetColorIndex(margin+x, margin+y, 1)
			}
		}
	}
	var out bytes.Buffer
	_ = png.Encode(&out, img) // fails only if writing does
	return out.Bytes()
}
