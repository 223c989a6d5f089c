// Package resident returns memory to the kernel that only the program's start needed.
package resident
