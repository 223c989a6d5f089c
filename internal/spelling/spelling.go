// Package spelling finds what a misspelt name may mean.
package spelling

import "strings"

// Nearest returns the known name that a name probably misspells.
func Nearest(name string, known []string) (string, bool) {
	// A longer name may have more mistakes, but must share most of its letters with the known one.
	limit := min(1+len(name)/4, 3)
	best := ""
	for _, k := range known {
		if distance := editDistance(strings.ToLower(name), strings.ToLower(k), limit); distance <= limit {
			best, limit = k, distance-1
		}
	}
	return best, best != ""
}

// editDistance counts the letters to insert, remove or replace to turn a into b. If there are more than limit, the result is any
// larger number.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
