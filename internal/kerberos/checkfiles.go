package kerberos

// CheckKeytab returns why a keytab can't be used; nil if it can.
func CheckKeytab(path string) error {
	_, _, err := readKeytab(path)
	return err
}
