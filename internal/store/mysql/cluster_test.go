package mysql

import "testing"

func TestClustersAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		variables map[string]string
		want      string
	}{
		"MySQL on its own":   {map[string]string{}, ""},
		"MariaDB on its own": {map[string]string{"wsrep_on": "OFF", "wsrep_provider": "none"}, ""},
		"Galera":             {map[string]string{"wsrep_on": "ON", "wsrep_provider": "/usr/lib/galera/libgalera_smm.so"}, "Galera"},
		"a group": {map[string]string{"group_replication_group_name": "6d3b0f0e-0000-11f1-8000-000000000001",
			"group_replication_consistency": "EVENTUAL"}, "Group Replication"},
		"the plugin without a group":           {map[string]string{"group_replication_group_name": "", "group_replication_consistency": "EVENTUAL"}, ""},
		"a group before there was consistency": {map[string]string{"group_replication_group_name": "6d3b"}, ""},
	} {
		var got string
		for _, sort := range sortsOfCluster {
			if sort.is(c.variables) {
				got = sort.name
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
