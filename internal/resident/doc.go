// Package resident gives back memory that only the start of the program has needed.
package resident
