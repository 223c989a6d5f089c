package mysql_test

import (
	"fmt"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/mysql"
	"dex/test/servers"
)

// Only one server could be configured, so a failover needed something in front of them that knows the primary.
var _ = faulttest.Add("O14", func(t *testing.T) {
	other, err := servers.StartMariaDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	config := newDatabase(t)
	there := func(statements ...string) {
		t.Helper()
		if err := other.Exec(t.Context(), statements...); err != nil {
			t.Fatal(err)
		}
	}
	there("CREATE DATABASE "+config.Database, "CREATE USER "+config.User+" IDENTIFIED BY '"+config.Password+"'",
		"GRANT ALL ON "+config.Database+".* TO "+config.User)
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	onOther := config
	onOther.Port = uint16(other.Port)
	open(t, onOther) // creates the tables there too
	there("SET GLOBAL read_only = 1")

	several := config
	several.Host, several.Port = "", 0
	several.Hosts = []string{at(int(closedPort(t))), at(other.Port), at(server.Port)}
	s := open(t, several)
	wantAt := func(port int) {
		t.Helper()
		var got int
		if err := s.DB().QueryRowContext(t.Context(), "SELECT @@port").Scan(&got); err != nil || got != port {
			t.Errorf("connected to the server at port %d, error %v; want %d", got, err, port)
		}
	}
	create(t, s, store.Record{Kind: "client", Key: "before"})
	wantAt(server.Port)

	setGlobal(t, "read_only = 1") // the two servers switch roles
	there("SET GLOBAL read_only = 0")
	create(t, s, store.Record{Kind: "client", Key: "after"})
	wantAt(other.Port)

	there("SET GLOBAL read_only = 1")
	wantRefused(t, several, at(server.Port)+": the server is read-only", at(other.Port)+": the server is read-only", "connection refused")
	wantRefused(t, mysql.Config{Host: "a:3306,b:3306", Database: "dex", Password: "secret"}, "host: names one server; list several under hosts")
})
