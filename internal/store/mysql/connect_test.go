package mysql

import (
	sqldriver "database/sql/driver"
	"fmt"
	"testing"

	driver "github.com/go-sql-driver/mysql"
)

// What is tried again must have changed nothing; of a broken connection nobody knows.
func TestWhatIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&driver.MySQLError{Number: 1213}, true},
		{&driver.MySQLError{Number: 1205}, true},
		{&driver.MySQLError{Number: 3101}, true}, // by the other servers of a MySQL group
		{sqldriver.ErrBadConn, true},
		{driver.ErrInvalidConn, false},
		{&driver.MySQLError{Number: 1062}, false},
		{nil, false},
	} {
		err := test.err
		if err != nil {
			err = fmt.Errorf("commit: %w", err)
		}
		if got := lostRace(err) || unsent(err); got != test.want {
			t.Errorf("%v: got %v, want %v", err, got, test.want)
		}
	}
}
