package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Contrasts that WCAG 2.2 asks for: 1.4.3 for text, 1.4.11 for buttons, borders and the focus.
const (
	textContrast    = 4.5
	controlContrast = 3.0
)

// A colour is one of sRGB.
type colour struct{ r, g, b uint8 }

var (
	white = colour{255, 255, 255}
	black = colour{0, 0, 0}
)

// parseColour reads a colour written as #0a7d55, or #fff for short.
func parseColour(text string) (colour, bool) {
	digits, ok := strings.CutPrefix(text, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 24)
	if !ok || err != nil || len(digits) != 6 {
		return colour{}, false
	}
	return colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, true //nolint:gosec // G115: the bytes of a number of three
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

// luminance is the relative luminance, as WCAG defines it.
func (c colour) luminance() float64 {
	linear := func(channel uint8) float64 {
		v := float64(channel) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// contrast is the contrast ratio of two colours, from 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// least is the lowest contrast of a colour with any of several.
func (c colour) least(papers ...colour) float64 {
	lowest := contrast(c, papers[0])
	for _, paper := range papers[1:] {
		lowest = min(lowest, contrast(c, paper))
	}
	return lowest
}

// mixed returns a colour between two: part is how much of the other one is in it, from 0 to 1.
func (c colour) mixed(with colour, part float64) colour {
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-part) + float64(b)*part)) }
	return colour{mix(c.r, with.r), mix(c.g, with.g), mix(c.b, with.b)}
}

// tones is how many steps there are from black to white.
const tones = 256

// nearest returns the tone of a colour that is good and differs least from it: the same hue, lighter or darker.
func (c colour) nearest(good func(colour) bool) colour {
	if good(c) {
		return c
	}
	hue, saturation, lightness := c.hsl()
	for step := 1; step <= tones; step++ {
		for _, to := range []float64{lightness - float64(step)/tones, lightness + float64(step)/tones} {
			if tone := fromHSL(hue, saturation, min(max(to, 0), 1)); good(tone) {
				return tone
			}
		}
	}
	return c // nothing is good
}

// shaded returns a tone of the colour that is lighter by a part of 1, or darker if that is negative.
func (c colour) shaded(by float64) colour {
	hue, saturation, lightness := c.hsl()
	return fromHSL(hue, saturation, min(max(lightness+by, 0), 1))
}

// hsl returns hue (0 to 6), saturation and lightness (0 to 1).
func (c colour) hsl() (hue, saturation, lightness float64) {
	r, g, b := float64(c.r)/255, float64(c.g)/255, float64(c.b)/255
	high, low := max(r, g, b), min(r, g, b)
	lightness = (high + low) / 2
	chroma := high - low
	if chroma == 0 {
		return 0, 0, lightness
	}
	saturation = chroma / (1 - math.Abs(2*lightness-1))
	switch high {
	case r:
		hue = math.Mod((g-b)/chroma+6, 6)
	case g:
		hue = (b-r)/chroma + 2
	default:
		hue = (r-g)/chroma + 4
	}
	return hue, saturation, lightness
}

func fromHSL(hue, saturation, lightness float64) colour {
	chroma := (1 - math.Abs(2*lightness-1)) * saturation
	channel := func(shift float64) uint8 {
		position := math.Mod(hue+shift, 6)
		part := min(max(2-math.Abs(position-3), 0), 1) // 1 around 3, 0 around 0 and 6
		return uint8(math.Round(255 * min(max(lightness+chroma*(0.5-part), 0), 1)))
	}
	return colour{channel(0), channel(4), channel(2)}
}
