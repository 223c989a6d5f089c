package takeover_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dex/internal/store"
	"dex/internal/store/etcd"
	"dex/internal/takeover"
	"dex/test/upstream"
)

func openEtcd(t *testing.T) *etcd.Store {
	t.Helper()
	n, err := etcdServer(t).NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := etcd.Open(t.Context(), etcd.Config{Endpoints: []string{n.Endpoint}, Namespace: n.Namespace}, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestEtcd(t *testing.T) {
	for _, l := range []upstream.Layout{upstream.Release, upstream.Development} {
		t.Run(l.String(), func(t *testing.T) {
			s := openEtcd(t)
			client, namespace := s.Upstream()
			if err := upstream.Etcd(t.Context(), client, namespace, l); err != nil {
				t.Fatal(err)
			}
			takeOver(t, place{store: s, layout: l, source: takeover.Etcd(client, namespace), dump: func(t *testing.T) string {
				response, err := client.Get(t.Context(), namespace, clientv3.WithPrefix())
				if err != nil {
					t.Fatal(err)
				}
				var out strings.Builder
				for _, kv := range response.Kvs {
					if !strings.HasPrefix(string(kv.Key), namespace+"dex/") {
						fmt.Fprintln(&out, string(kv.Key), kv.ModRevision, kv.Lease, string(kv.Value))
					}
				}
				return out.String()
			}})
		})
	}
}

// Keys are in lower case, so the ids come from the values; objects without one are left out.
func TestEtcdsOfflineSessions(t *testing.T) {
	s := openEtcd(t)
	client, namespace := s.Upstream()
	put := func(key string, value any) {
		t.Helper()
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Put(t.Context(), namespace+key, string(b)); err != nil {
			t.Fatal(err)
		}
	}
	put("offline_session/abc|ldap", map[string]any{"user_id": "AbC", "conn_id": "LDAP", "connectorData": []byte("data")})
	put("offline_session/xyz|ldap", map[string]any{"user_id": "abc", "conn_id": "ldap"})
	put("offline_session/nobody|ldap", map[string]any{"refresh": nil})
	put("offline_session/list|ldap", []string{"list"})
	var good, bad []string
	src := takeover.Etcd(client, namespace)
	err := src.OfflineSessions(t.Context(), "", func(i takeover.Item[takeover.OfflineSession]) error {
		if i.Err == nil {
			good = append(good, i.Value.UserID+" "+i.Value.ConnectorID+" "+string(i.Value.Data))
		} else {
			bad = append(bad, i.Key)
		}
		return nil
	})
	if err != nil || fmt.Sprint(good) != "[AbC LDAP data]" || fmt.Sprint(bad) != "[list|ldap nobody|ldap xyz|ldap]" {
		t.Errorf("read %q, left out %q, %v", good, bad, err)
	}
}

func TestPagesOfEtcd(t *testing.T) {
	s := openEtcd(t)
	client, namespace := s.Upstream()
	for i := range many {
		id := fmt.Sprintf("token/%d", i)
		value := fmt.Sprintf(`{"id":%q,"created_at":%q,"last_used":%q}`, id, time.Now().Format(time.RFC3339Nano), "0001-01-01T00:00:00Z")
		if _, err := client.Put(t.Context(), namespace+"refresh_token/"+id, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, tokens := readAll(t, takeover.Etcd(client, namespace)); tokens != many {
		t.Errorf("%d refresh tokens, want %d", tokens, many)
	}
}

func TestEtcdWithoutUpstream(t *testing.T) {
	s := openEtcd(t)
	client, namespace := s.Upstream()
	// Our own records are not taken for upstream's.
	if _, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "ours", Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if layout, err := takeover.Etcd(client, namespace).Layout(t.Context()); err != nil || layout != "" {
		t.Errorf("Layout: %q, %v, want none", layout, err)
	}
}
