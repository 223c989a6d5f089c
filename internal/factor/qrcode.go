package factor

import (
	"errors"

	"rsc.io/qr/coding"
)

// newQRCode returns the smallest QR code for a text, with the mask that ISO 18004 prefers. 15% of it may be unreadable.
func newQRCode(text string) (*coding.Code, error) {
	const level = coding.M
	version, content := coding.Version(coding.MinVersion), coding.String(text)
	for ; content.Bits(version) > version.DataBytes(level)*8; version++ {
		if version == coding.MaxVersion {
			return nil, errors.New("the text is too long for a QR code")
		}
	}
	var best *coding.Code
	least := 0
	for mask := coding.Mask(0); mask < 8; mask++ {
		plan, err := coding.NewPlan(version, level, mask)
		if err != nil {
			return nil, err
		}
		code, err := plan.Encode(content)
		if err != nil {
			return nil, err
		}
		if p := penalty(code); best == nil || p < least {
			best, least = code, p
		}
	}
	return best, nil
}

// penalty returns how hard a QR code is to read, by ISO 18004, 7.8.3.
func penalty(code *coding.Code) int {
	sum, black := 0, 0
	for y := range code.Size {
		sum += linePenalty(code.Size, func(x int) bool { return code.Black(x, y) })
		sum += linePenalty(code.Size, func(x int) bool { return code.Black(y, x) })
		for x := range code.Size {
			module := code.Black(x, y)
			if module {
				black++
			}
			if x > 0 && y > 0 && module == code.Black(x-1, y) && module == code.Black(x, y-1) && module == code.Black(x-1, y-1) {
				sum += 3 // a block of one colour
			}
		}
	}
	// Ten for each 5% by which it is darker or lighter than half.
	all := code.Size * code.Size
	return sum + 10*(max(2*black-all, all-2*black)*10/all)
}

// linePenalty returns the penalty of a row or a column: for five modules or more of one colour, and for what looks like the
// finder patterns in the corners, which are modules of 1:1:3:1:1 beside four light ones.
func linePenalty(size int, black func(int) bool) int {
	const before, after, modules = 0b00001011101, 0b10111010000, 1<<11 - 1
	sum, run, last := 0, 0, 0
	for i := range size {
		if i > 0 && black(i) == black(i-1) {
			run++
		} else {
			run = 1
		}
		switch {
		case run == 5:
			sum += 3
		case run > 5:
			sum++
		}
		last = last << 1 & modules
		if black(i) {
			last |= 1
		}
		if i >= 10 && (last == before || last == after) {
			sum += 40
		}
	}
	return sum
}
