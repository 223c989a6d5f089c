// Package resident returns memory to the kernel that only the start of the program, or work that has ended, needed.
package resident
