package faulttest

import (
	"os"
	"strings"
	"testing"
)

// Table returns the rows, by column name, of the table in a page of docs whose header begins with a text.
func Table(t *testing.T, page, header string) []map[string]string {
	t.Helper()
	text, err := os.ReadFile(page) //nolint:gosec // G304: the test names it
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), header)
	if !found {
		t.Fatalf("%s has no table %s", page, header)
	}
	table, _, _ = strings.Cut(header+table, "\n\n")
	var names []string
	var rows []map[string]string
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch {
		case i == 0:
			names = cells
		case i > 1: // below the separator
			row := map[string]string{}
			for n, cell := range cells {
				row[names[n]] = cell
			}
			rows = append(rows, row)
		}
	}
	return rows
}
